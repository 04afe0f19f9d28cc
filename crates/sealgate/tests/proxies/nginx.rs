//! nginx, by its `auth_request`.

use super::proxy::{Paths, Proxy, program};
use super::site::Site;

/// Its files, and how it runs.
pub const PROXY: Proxy = Proxy {
    files: &[(
        "nginx.conf",
        include_str!("../../../../docs/examples/nginx.conf"),
    )],
    replaced: |places| {
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let files = kinds.map(|kind| format!("    {kind}_temp_path {kind};\n"));
        vec![
            (
                "http {\n",
                format!("http {{\n    access_log off;\n{}", files.concat()),
            ),
            ("listen 80;", format!("listen {};", places.proxy)),
            ("127.0.0.1:8080", places.sealgate.to_string()),
            ("127.0.0.1:3000", places.application.to_string()),
        ]
    },
    portal_user: &[(
        "            proxy_set_header X-Auth-Environment $auth_environment;\n",
        "            proxy_set_header X-Auth-Environment $auth_environment;
            auth_request_set $portal_user $upstream_http_x_portal_user;
            proxy_set_header X-Portal-User $portal_user;\n",
    )],
    portal_cookie: &[],
    program: |directory| {
        let mut command = program("nginx");
        command
            .args(["-g", "daemon off; master_process off; pid nginx.pid;"])
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(directory);
        command
    },
    websockets: false,
    paths: Paths {
        refused: &["/../a", "/a%00b", "/%zz"],
        rewritten: &[],
    },
};

#[test]
fn nobody_but_nginx_itself_asks_by_the_path_that_it_asks_by() {
    let site = Site::start(&PROXY);
    let key = site.key("api:read");
    for path in ["/_verify", "//_verify", "/%5fverify"] {
        site.stopped(site.ask_for("GET", path).api_key(&key.api_key), 404);
    }
}
