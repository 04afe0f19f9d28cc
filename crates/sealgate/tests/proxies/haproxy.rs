//! `HAProxy`, by Lua.

use super::faults::{YES_TO_NOBODY, seen_after};
use super::proxy::{Paths, Proxy, program};

/// Its files, and how it runs.
pub const PROXY: Proxy = Proxy {
    files: &[
        (
            "haproxy.cfg",
            include_str!("../../../../docs/examples/haproxy.cfg"),
        ),
        (
            "haproxy.lua",
            include_str!("../../../../docs/examples/haproxy.lua"),
        ),
    ],
    replaced: |places| {
        vec![
            ("/etc/haproxy/haproxy.lua", places.file("haproxy.lua")),
            ("bind :80", format!("bind {}", places.proxy)),
            ("127.0.0.1:8080", places.sealgate.to_string()),
            ("127.0.0.1:3000", places.application.to_string()),
        ]
    },
    portal_user: &[(
        r#""x-auth-subject", "x-auth-permissions", "x-auth-environment","#,
        r#""x-auth-subject", "x-auth-permissions", "x-auth-environment",
    "x-portal-user","#,
    )],
    portal_cookie: &[],
    program: |_| {
        let mut command = program("haproxy");
        command.args(["-db", "-f", "haproxy.cfg"]);
        command
    },
    websockets: true,
    paths: Paths {
        refused: &["/a#b", "http://elsewhere//x/../y?z"],
        rewritten: &[],
    },
};

#[test]
fn nothing_passes_when_the_script_fails() {
    // It finds no identity to pass on.
    assert_eq!(seen_after(&PROXY, YES_TO_NOBODY), "");
}
