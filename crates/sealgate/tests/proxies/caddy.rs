//! Caddy, by its `forward_auth`.

use super::proxy::{Paths, Proxy, program};

/// Its files, and how it runs.
pub const PROXY: Proxy = Proxy {
    files: &[(
        "Caddyfile",
        include_str!("../../../../docs/examples/Caddyfile"),
    )],
    replaced: |places| {
        let port = places.proxy.port();
        vec![
            (
                "admin 127.0.0.1:2019",
                format!("admin unix/{}", places.file("admin")),
            ),
            (":80 {", format!(":{port} {{\n\tbind 127.0.0.1")),
            ("127.0.0.1:8080", places.sealgate.to_string()),
            ("127.0.0.1:3000", places.application.to_string()),
        ]
    },
    portal_user: &[
        (
            "\t\trequest_header -X-Auth-Environment\n",
            "\t\trequest_header -X-Auth-Environment\n\t\trequest_header -X-Portal-User\n",
        ),
        (
            "copy_headers X-Auth-Kind",
            "copy_headers X-Portal-User X-Auth-Kind",
        ),
    ],
    portal_cookie: &[(
        "copy_headers X-Auth-Kind",
        "copy_headers Cookie X-Auth-Kind",
    )],
    program: |directory| {
        let mut command = program("caddy");
        command
            .args(["run", "--adapter", "caddyfile", "--config", "Caddyfile"])
            .env("XDG_CONFIG_HOME", directory)
            .env("XDG_DATA_HOME", directory);
        command
    },
    websockets: true,
    paths: Paths {
        refused: &["/%zz"],
        rewritten: &[
            ("/a\\b", "/a%5Cb"),
            ("/a|b^c", "/a%7Cb%5Ec"),
            ("/a#b", "/a%23b"),
        ],
    },
};
