//! Traefik, by its `ForwardAuth`.

use std::path::Path;
use std::process::Command;

use super::proxy::{Paths, Proxy};

/// Its files, and how it runs.
pub const PROXY: Proxy = Proxy {
    files: &[
        (
            "traefik.yml",
            include_str!("../../../../docs/examples/traefik.yml"),
        ),
        (
            "traefik-routes.yml",
            include_str!("../../../../docs/examples/traefik-routes.yml"),
        ),
    ],
    replaced: |places| {
        vec![
            (
                "/etc/traefik/traefik-routes.yml",
                places.file("traefik-routes.yml"),
            ),
            ("\":80\"", format!("\"{}\"", places.proxy)),
            ("127.0.0.1:8080", places.sealgate.to_string()),
            ("127.0.0.1:3000", places.application.to_string()),
        ]
    },
    portal_user: &[(
        "          - X-Auth-Environment\n",
        "          - X-Auth-Environment\n          - X-Portal-User\n",
    )],
    portal_cookie: &[(
        "          - X-Auth-Environment\n",
        "          - X-Auth-Environment\n          - Cookie\n",
    )],
    program: |_| {
        let python = std::env::var_os("SEALGATE_TEST_PYTHON")
            .expect("SEALGATE_TEST_PYTHON names a Python; scripts/test sets it up");
        // The package puts it beside the Python.
        let mut command = Command::new(Path::new(&python).with_file_name("traefik"));
        command.arg("--configFile=traefik.yml");
        command
    },
    websockets: true,
    paths: Paths {
        refused: &["/a#b", "/%zz"],
        rewritten: &[
            ("/a%2Fb/%2e%2e/c?x=%20y", "/c?x=%20y"),
            ("//double", "/double"),
            ("///a//b///c?//d", "/a/b/c?//d"),
            ("/%61dmin", "/admin"),
            ("/x/../admin", "/admin"),
            ("/x/%2E%2E/admin", "/admin"),
            ("/x%2f..%2fadmin", "/x%2F..%2Fadmin"),
            ("/a/./b/", "/a/b/"),
            ("/../a", "/a"),
            ("/a?b;c&d=%zz/../e", "/a?b&c&d=%zz/../e"),
            ("/%C3%a9", "/%C3%A9"),
            ("/a\\b", "/a%5Cb"),
            ("/a|b^c", "/a%7Cb%5Ec"),
            ("/a%0ab", "/a%0Ab"),
            ("http://elsewhere//x/../y?z", "/y?z"),
        ],
    },
};
