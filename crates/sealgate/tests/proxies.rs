//! An application behind real reverse proxies, which ask Sealgate about every request. Each is set up as
//! its file in `docs/examples/` says, and goes through the same tests.

/// Tests that are run once with each proxy.
macro_rules! with_every_proxy {
    ($($(#[doc = $doc:literal])* #[test] fn $name:ident($proxy:ident: &Proxy) $body:block)+) => {
        $($(#[doc = $doc])* fn $name($proxy: &crate::proxies::proxy::Proxy) $body)+
        with_every_proxy!(@with nginx $($name)+);
        with_every_proxy!(@with haproxy $($name)+);
        with_every_proxy!(@with caddy $($name)+);
        with_every_proxy!(@with apache $($name)+);
        with_every_proxy!(@with traefik $($name)+);
    };
    (@with $proxy:ident $($name:ident)+) => {
        mod $proxy {
            $(#[test] fn $name() { super::$name(&crate::proxies::$proxy::PROXY); })+
        }
    };
}

mod apache;
mod application;
mod caddy;
mod faults;
mod forged;
mod guarded;
mod haproxy;
mod nginx;
mod passing;
mod paths;
mod proxy;
mod site;
mod stopped;
mod tap;
mod traefik;
