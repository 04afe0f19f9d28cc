//! What Sealgate is told of a path is what the application gets.

use super::site::Site;

/// Paths that programs read in different ways.
const PATHS: [&str; 27] = [
    "/",
    "/orders/7?of=today&q=%20y",
    "/a%2Fb/%2e%2e/c?x=%20y",
    "//double",
    "///a//b///c?//d",
    "/%61dmin",
    "/x/../admin",
    "/x/%2E%2E/admin",
    "/x%2f..%2fadmin",
    "/admin%2F",
    "/admin/",
    "/a/./b/",
    "/../a",
    "/a;b=c/d",
    "/a?b;c&d=%zz/../e",
    "/q?",
    "/%C3%a9",
    "/a%5Cb",
    "/a\\b",
    "/a|b^c",
    "/a#b",
    "/%252e%252e/a",
    "/a%3Fb%23c%25",
    "/a%0ab",
    "/a%00b",
    "/%zz",
    "http://elsewhere//x/../y?z",
];

with_every_proxy! {
    #[test]
    fn what_sealgate_is_told_of_a_path_is_what_the_application_gets(proxy: &Proxy) {
        let site = Site::start(proxy);
        let key = site.key("api:read");
        for path in PATHS {
            site.tap.told(["", ""]);
            let answer = site.ask_for("GET", path).api_key(&key.api_key).send();
            let told = site.tap.told(["x-original-uri", "x-forwarded-uri"]);
            let seen = site.application.take();
            if proxy.paths.refused.contains(&path) {
                assert!((400..=404).contains(&answer.status), "{path}: {answer:?}");
                assert!(seen.is_empty(), "{path}: {seen:#?}");
                continue;
            }
            let [seen] = seen.as_slice() else {
                panic!("{path}: {answer:?} {seen:#?}");
            };
            let mut rewritten = proxy.paths.rewritten.iter();
            let expected = rewritten.find(|(sent, _)| *sent == path);
            let as_sent = path.strip_prefix("http://elsewhere").unwrap_or(path);
            let expected = expected.map_or(as_sent, |(_, expected)| expected);
            assert_eq!(seen.path(), expected, "{path}");
            assert_eq!(told, [expected], "{path}");
        }
    }

    #[test]
    fn a_question_about_no_path_does_not_pass(proxy: &Proxy) {
        let site = Site::start(proxy);
        let key = site.key("api:read");
        site.ask_for("OPTIONS", "*").api_key(&key.api_key).send();
        let seen = site.application.take();
        assert!(seen.is_empty(), "{seen:#?}");
    }
}
