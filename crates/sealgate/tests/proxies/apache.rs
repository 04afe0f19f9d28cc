//! Apache httpd, by Lua.

use super::faults::{YES_TO_NOBODY, seen_after};
use super::proxy::{Paths, Proxy, program};

/// Its files, and how it runs.
pub const PROXY: Proxy = Proxy {
    files: &[
        (
            "apache.conf",
            include_str!("../../../../docs/examples/apache.conf"),
        ),
        (
            "apache.lua",
            include_str!("../../../../docs/examples/apache.lua"),
        ),
    ],
    replaced: |places| {
        let sealgate = (places.sealgate.ip(), places.sealgate.port());
        vec![
            (
                "ServerRoot /etc/apache2",
                format!("ServerRoot {}", places.file("")),
            ),
            ("/etc/apache2/apache.lua", places.file("apache.lua")),
            ("/run/apache2/apache2.pid", places.file("pid")),
            (
                "DefaultRuntimeDir /run/apache2",
                format!("DefaultRuntimeDir {}", places.file("")),
            ),
            ("/var/log/apache2/error.log", places.file("log")),
            ("Listen 80", format!("Listen {}", places.proxy)),
            (
                "\"127.0.0.1\", 8080",
                format!("\"{}\", {}", sealgate.0, sealgate.1),
            ),
            ("127.0.0.1:3000", places.application.to_string()),
        ]
    },
    portal_user: &[(
        r#""X-Auth-Subject", "X-Auth-Permissions", "X-Auth-Environment","#,
        r#""X-Auth-Subject", "X-Auth-Permissions", "X-Auth-Environment",
    "X-Portal-User","#,
    )],
    portal_cookie: &[],
    program: |directory| {
        let mut command = program("apache2");
        // Debian's own start sets these.
        command
            .env("APACHE_RUN_USER", "www-data")
            .env("APACHE_RUN_GROUP", "www-data")
            .args(["-X", "-f"])
            .arg(directory.join("apache.conf"));
        command
    },
    websockets: false,
    paths: Paths {
        refused: &[
            "/../a",
            "/a#b",
            "/a%00b",
            "/%zz",
            "http://elsewhere//x/../y?z",
        ],
        rewritten: &[],
    },
};

#[test]
fn nothing_passes_when_the_script_fails() {
    // It finds no identity to pass on.
    assert_eq!(seen_after(&PROXY, YES_TO_NOBODY), "");
}
