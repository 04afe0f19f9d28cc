//! A rule about a path: the application gets no spelling of the path that passes by the rule.

use std::collections::BTreeSet;

use super::site::Site;

/// What is nobody's but an administrator's.
const ROUTES: &str = "[[routes]]\npath = \"/admin/*\"\npermissions = \"admin:all\"\n";
const ATTEMPTS: [&str; 32] = [
    "/admin",
    "/admin/",
    "/admin/users",
    "/admin?x",
    "/admin#x",
    "/%61dmin",
    "/%61%64%6D%69%6e/users",
    "/%2561dmin",
    "//admin",
    "///admin//users",
    "/./admin",
    "/%2e/admin",
    "/x/../admin",
    "/x/%2e%2e/admin",
    "/x/.%2E/admin/",
    "/x/%252e%252e/admin",
    "/x%2f..%2fadmin",
    "/x/..;/admin",
    "/x/..%2Fadmin",
    "/admin%2F",
    "/admin%2fusers",
    "/admin%252fusers",
    "/admin;x",
    "/;x/admin",
    "/admin%3Bx/users",
    "/admin%00",
    "/admin%23x",
    "/%5cadmin",
    "/x\\..\\admin",
    "http://elsewhere/admin",
    "/ADMIN",
    "/Admin/users",
];

with_every_proxy! {
    #[test]
    fn no_spelling_of_a_path_passes_by_its_rule(proxy: &Proxy) {
        let site = Site::start_with(proxy, ROUTES);
        let reader = site.key("api:read").api_key;
        let admin = site.key("admin:all").api_key;
        for path in ATTEMPTS {
            let answer = site.ask_for("GET", path).api_key(&reader).send();
            for seen in site.application.take() {
                let readings = readings(seen.path());
                let is_guarded = readings.iter().any(|path| is_guarded(path));
                assert!(!is_guarded, "{path}: {answer:?} {readings:?}");
            }
        }
        site.stopped(site.ask_for("GET", "/admin/users").api_key(&reader), 403);
        site.passed(site.ask_for("GET", "/admin/users").api_key(&admin));
        for path in ["/", "/orders/7", "/administrators", "/orders//%37"] {
            site.passed(site.ask_for("GET", path).api_key(&reader));
        }
    }
}

fn is_guarded(path: &str) -> bool {
    path == "/admin" || path.starts_with("/admin/")
}

/// All that a path can be to one application or another.
fn readings(target: &str) -> BTreeSet<String> {
    let path = target.split('?').next().unwrap_or_default();
    let mut found = BTreeSet::from([path.to_owned()]);
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let cut = path.split(['#', '?', '\0']).next().unwrap_or_default();
        for reading in [
            cut.to_owned(),
            path.to_ascii_lowercase(),
            decoded(&path),
            path.replace('\\', "/"),
            segments(&path, |segment| segment.split(';').next()),
            segments(&path, |segment| (!segment.is_empty()).then_some(segment)),
            resolved(&path),
        ] {
            if found.insert(reading.clone()) {
                waiting.push(reading);
            }
        }
    }
    found
}

/// The path of what is left of each segment.
fn segments(path: &str, keep: impl Fn(&str) -> Option<&str>) -> String {
    let kept = path.split('/').skip(1).filter_map(keep);
    kept.flat_map(|segment| ["/", segment]).collect()
}

/// Without `.` and `..`.
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    kept.into_iter()
        .flat_map(|segment| ["/", segment])
        .collect()
}

fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = byte.filter(u8::is_ascii) {
            text.push(byte.into());
            text.push_str(&part[2..]);
        } else {
            text.push('%');
            text.push_str(part);
        }
    }
    text
}
