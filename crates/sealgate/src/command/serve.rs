//! `sealgate serve`: the HTTP API, until it is asked to stop.

mod reload;

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;
use rustix::process::{Resource, getrlimit, setrlimit};
use sealgate_core::authority::Authority;
use sealgate_core::key::Environment;
use sealgate_core::policy::PolicyHandle;
use sealgate_server::serve::Tls;
use sealgate_server::{HttpSettings, UpstreamUrl};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::reload::Reload;
use super::Context;
use crate::exit::{Failure, Outcome};
use crate::server::Listeners;
use crate::settings::{Settings, WrongKeyStatus};
use crate::wiring::{self, Missing, now};
use crate::{cli, data_dir, gateway, master_key, metrics, server, telemetry};

const EXAMPLES: &str = "\
Examples:
  sealgate serve
  sealgate serve --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key privkey.pem
  sealgate serve --protect http://127.0.0.1:3000
  sealgate serve --ext-authz-listen 127.0.0.1:9191
  SEALGATE_LISTEN=127.0.0.1:9000 sealgate serve --environment testing

SIGTERM or Ctrl-C stops it once the requests under way are answered; a second one stops it at once.
A certificate that is renewed on disk is taken up by itself. SIGHUP makes it read sealgate.toml again
and take the [[routes]] in it; if there is a mistake in the file, it says so and keeps those it has.";

/// The arguments.
#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, not Markdown"
)]
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The address to listen on; port 0 for any free one [env: SEALGATE_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    listen: Option<SocketAddr>,

    /// A service to stand in front of: what is none of Sealgate's goes there, once it may [env:
    /// SEALGATE_GATEWAY_UPSTREAM]
    #[arg(long, value_name = "URL")]
    protect: Option<UpstreamUrl>,

    /// Whose keys are taken [env: SEALGATE_ENVIRONMENT] [default: production]
    #[arg(long, value_parser = cli::environments())]
    environment: Option<Environment>,

    /// The certificate, and those between it and the root, in PEM [env: SEALGATE_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// Its private key, in PEM [env: SEALGATE_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// The address where Envoy asks (gRPC); nowhere by default [env: SEALGATE_EXT_AUTHZ_LISTEN]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    ext_authz_listen: Option<SocketAddr>,
}

impl Args {
    /// Puts the flags before all other settings.
    pub fn apply(&self, settings: &mut Settings) {
        let Self {
            listen,
            protect,
            environment,
            tls_cert,
            tls_key,
            ext_authz_listen,
        } = self;
        if let Some(listen) = listen {
            settings.server.listen = *listen;
        }
        if protect.is_some() {
            settings.gateway.upstream.clone_from(protect);
        }
        if let Some(environment) = environment {
            settings.server.environment = *environment;
        }
        if tls_cert.is_some() {
            settings.tls.cert.clone_from(tls_cert);
        }
        if tls_key.is_some() {
            settings.tls.key.clone_from(tls_key);
        }
        if ext_authz_listen.is_some() {
            settings.ext_authz.listen = *ext_authz_listen;
        }
    }
}

/// Serves.
///
/// # Errors
/// If the address, the certificate or the store cannot be used.
pub async fn run(context: Context, args: Args) -> Outcome {
    let settings = &context.settings;
    let policy = settings.policy();
    let policy = policy.map_err(|invalid| Failure::new(invalid.to_string()))?;
    let policy = PolicyHandle::new(policy);
    let tls = load_certificate(settings)?;
    let http = bind(settings.server.listen, "--listen").await?;
    let gateway = gateway::of(&settings.gateway)?;
    let listeners = Listeners {
        gateway: bind_gateway(settings, &http).await?,
        ext_authz: match settings.ext_authz.listen {
            Some(address) => Some(bind(address, "--ext-authz-listen").await?),
            None => None,
        },
        http,
    };
    let signals = Signals::listen()?;
    let hangup = signal(SignalKind::hangup())?;
    let opened = wiring::open_with_outside(&context.place, settings, Missing::Create).await?;
    let authority = opened.authority;
    authority.start().await?;
    raise_file_limit();

    if let Some(path) = opened.new_master_key {
        tracing::warn!("{}", master_key::notice(&path));
    }
    announce(&context, &authority, &listeners, tls.is_some()).await?;
    announce_gateway(settings, listeners.gateway.as_ref(), tls.is_some())?;
    warn_of_sessions(settings, &authority, opened.is_directory_plaintext);
    let http = HttpSettings {
        gateway,
        ..http_settings(settings, tls.is_some(), metrics::install()?)
    };
    let reload = Reload {
        globals: context.globals,
        args,
        settings: context.settings,
        file: context.file,
        policy: policy.clone(),
    };
    tokio::spawn(reload.at_each(hangup));
    let shutdown = signals.asked_to_stop();
    server::run(authority, listeners, http, tls, policy, shutdown)
        .await
        .map_err(|error| Failure::new(format!("the server cannot go on: {error}")))?;
    tracing::info!("stopped");
    Ok(())
}

fn http_settings(settings: &Settings, tls: bool, metrics: metrics::Render) -> HttpSettings {
    HttpSettings {
        cors_origins: settings.server.cors_origins.clone(),
        trusted_proxies: settings.server.trusted_proxies.clone(),
        security_contact: settings.security.contact.clone(),
        security_expires: now().plus_days(settings.security.expires_days.into()),
        request_timeout: Duration::from_secs(settings.server.request_timeout_seconds.into()),
        tls,
        seal_key_header: settings.sessions.header.clone(),
        wrong_key_status: match settings.sessions.wrong_key_status {
            WrongKeyStatus::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
            WrongKeyStatus::Unauthorized => StatusCode::UNAUTHORIZED,
        },
        identity_headers: settings.identity_headers.server(),
        original_headers: settings.forward_auth.headers,
        metrics,
        ..HttpSettings::default()
    }
}

/// The gateway's own address, if it has one; the service must be at none of ours.
async fn bind_gateway(settings: &Settings, listener: &TcpListener) -> Outcome<Option<TcpListener>> {
    let Some(upstream) = &settings.gateway.upstream else {
        return Ok(None);
    };
    let own = match settings.gateway.listen {
        Some(address) => Some(bind(address, "gateway.listen").await?),
        None => None,
    };
    let listeners = [Some(listener), own.as_ref()].into_iter().flatten();
    let addresses: io::Result<Vec<SocketAddr>> = listeners.map(TcpListener::local_addr).collect();
    gateway::check_not_itself(upstream, &addresses?)?;
    Ok(own)
}

/// Says what is protected, and where that is to be found.
fn announce_gateway(settings: &Settings, own: Option<&TcpListener>, has_tls: bool) -> Outcome {
    let Some(upstream) = &settings.gateway.upstream else {
        return Ok(());
    };
    match own {
        None => tracing::info!("protecting {upstream}: what is none of Sealgate's goes there"),
        Some(listener) => {
            let address = listener.local_addr()?;
            let scheme = if has_tls { "https" } else { "http" };
            tracing::info!("protecting {upstream} at {scheme}://{address}");
            if !has_tls && !address.ip().to_canonical().is_loopback() {
                tracing::warn!(
                    "{address} can be reached from other machines, and without TLS keys travel in \
                     the clear: set tls.cert and tls.key, or gateway.listen to 127.0.0.1"
                );
            }
        }
    }
    Ok(())
}

/// Says what makes users' sessions less safe than they could be.
fn warn_of_sessions(settings: &Settings, authority: &Authority, is_directory_plaintext: bool) {
    if settings.sessions.takes_well_known_key() {
        tracing::warn!(
            "sessions of clients that send no {} are sealed with the default key, which everybody \
             knows: set sessions.require_key once all clients send a key, or sessions.default_key",
            settings.sessions.header
        );
    }
    if let Some(directory) = authority.directory() {
        let place = directory.describe();
        tracing::info!("users come from {place}");
        if is_directory_plaintext {
            tracing::warn!("users' passwords travel to {place} in the clear: let it speak TLS");
        }
    }
}

fn load_certificate(settings: &Settings) -> Outcome<Option<Tls>> {
    let (Some(cert), Some(key)) = (&settings.tls.cert, &settings.tls.key) else {
        return Ok(None);
    };
    let loaded = Tls::load(cert, key).map_err(|error| {
        Failure::new(error.to_string()).with_hint(
            "--tls-cert takes the certificate with those between it and the root, --tls-key its \
             private key, both in PEM; without either, a reverse proxy can speak TLS instead",
        )
    });
    loaded.map(Some)
}

async fn bind(address: SocketAddr, flag: &str) -> Outcome<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let (message, hint) = match error.kind() {
            ErrorKind::AddrInUse => (
                format!("{address} is in use already"),
                format!("stop what listens there, or take another port with {flag}"),
            ),
            ErrorKind::PermissionDenied => (
                format!("this account may not listen on {address}"),
                format!(
                    "ports below 1024 are the system's: take a higher one with {flag}, or grant \
                     CAP_NET_BIND_SERVICE"
                ),
            ),
            ErrorKind::AddrNotAvailable => (
                format!("this machine does not have the address {}", address.ip()),
                format!("take one of its own with {flag}, or 0.0.0.0 for all of them"),
            ),
            _ => (
                format!("{address} cannot be listened on: {error}"),
                format!("take another address with {flag}"),
            ),
        };
        Failure::new(message).with_hint(hint)
    })
}

/// Says where the server is to be found, and to a newcomer what comes next.
async fn announce(
    context: &Context,
    authority: &Authority,
    listeners: &Listeners,
    has_tls: bool,
) -> Outcome {
    let address = listeners.http.local_addr()?;
    let url = format!("{}://{address}", if has_tls { "https" } else { "http" });
    let has_admin = authority.store().health().await?.active_admins > 0;
    let create = format!("sealgate{} create --name Admin --admin", elsewhere(context));
    if io::stderr().is_terminal() {
        greet(context, &url, (!has_admin).then_some(&create));
    } else {
        let store = &context.place.database;
        let environment = context.settings.server.environment;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %store, %environment, "listening on {url}");
        if !has_admin {
            tracing::info!("there is no administrator's key yet: {create}");
        }
    }
    if !has_tls && !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "{address} can be reached from other machines, and without TLS keys travel in the \
             clear: set tls.cert and tls.key, or listen on 127.0.0.1 behind a proxy that speaks TLS"
        );
    }
    if let Some(listener) = &listeners.ext_authz {
        announce_ext_authz(listener.local_addr()?, has_tls);
    }
    Ok(())
}

fn announce_ext_authz(address: SocketAddr, has_tls: bool) {
    let scheme = if has_tls { "https" } else { "http" };
    tracing::info!("Envoy asks at {scheme}://{address}");
    if !has_tls && !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "Envoy's questions to {address} have its clients' keys in them, and without TLS they \
             travel in the clear: set tls.cert and tls.key, or ext_authz.listen to 127.0.0.1"
        );
    }
}

/// The first lines on a terminal.
fn greet(context: &Context, url: &str, create: Option<&String>) {
    let version = env!("CARGO_PKG_VERSION");
    // Also if it is to be quiet: where the server is to be found is its one result.
    let _ = writeln!(io::stderr(), "Sealgate {version} is listening on {url}");
    context.output.note(format!(
        "  store        {}\n  environment  {}\n  reference    {url}/api/reference",
        context.place.database, context.settings.server.environment
    ));
    if let Some(create) = create {
        context.output.note(format!(
            "\nThere is no administrator's key yet. In another terminal:\n\n  {create}\n\n\
             The key that it prints is exchanged for a token, and the token opens the API:\n\n  \
             curl -X POST {url}/api/auth/token -H \"X-API-Key: $KEY\"\n  \
             curl {url}/api/auth/keys -H \"Authorization: Bearer $TOKEN\"\n"
        ));
    }
}

/// The flag that leads another terminal to this store.
fn elsewhere(context: &Context) -> String {
    match data_dir::default_path() {
        Some(path) if path == context.place.path => String::new(),
        _ => format!(" --data-dir {}", context.place.path.display()),
    }
}

/// Lets the server have as many connections as the system allows it.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// The signals that ask a server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the first one; the second ends the program.
    async fn asked_to_stop(mut self) {
        self.next().await;
        tracing::info!("stopping once the requests under way are answered");
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("stopping at once");
            telemetry::write_waiting_lines();
            std::process::exit(1);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "write an address and a port: 127.0.0.1:8080 or [::1]:8080".to_owned())
}
