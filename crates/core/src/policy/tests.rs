//! Which rule decides, and that no spelling of a path leads around it.

use proptest::prelude::*;

use super::*;

fn rule(text: &str) -> Rule {
    let (methods, path) = text.rsplit_once(' ').unwrap_or(("", text));
    let methods: Vec<String> = methods.split_whitespace().map(str::to_owned).collect();
    Rule::new(&RuleDraft {
        path: path.to_owned(),
        methods: (!methods.is_empty()).then_some(methods),
        ..RuleDraft::default()
    })
    .unwrap()
}

fn policy(rules: &[&str]) -> Policy {
    let rules = rules.iter().copied().map(rule).collect();
    Policy::new(Environment::Production, rules).unwrap()
}

fn draft(path: &str) -> RuleDraft {
    RuleDraft {
        path: path.to_owned(),
        ..RuleDraft::default()
    }
}

fn one_rule(draft: &RuleDraft) -> Policy {
    Policy::new(Environment::Production, vec![Rule::new(draft).unwrap()]).unwrap()
}

/// The path of the rule that decides, `default`, or why none does.
fn decided(policy: &Policy, method: &str, path: &str) -> String {
    match policy.decide(method, Some(path)) {
        Ok(demand) => demand.rule().map_or("default", Rule::path).to_owned(),
        Err(undecided) => format!("{undecided:?}"),
    }
}

fn needed(demand: &Demand<'_>) -> Vec<String> {
    demand.permissions().map(|it| it.0.to_owned()).collect()
}

#[test]
fn without_rules_the_method_decides_and_nothing_is_ambiguous() {
    let policy = Policy::default();
    for (method, permission) in [
        ("GET", "api:read"),
        ("HEAD", "api:read"),
        ("OPTIONS", "api:read"),
        ("TRACE", "api:read"),
        ("POST", "api:write"),
        ("get", "api:write"),
        ("PURGE", "api:write"),
    ] {
        for path in [None, Some("/a%2f..%zz"), Some("*"), Some("")] {
            let demand = policy.decide(method, path).unwrap();
            assert_eq!(needed(&demand), [permission]);
            assert!(CredentialKind::ALL.iter().all(|kind| demand.takes(*kind)));
            assert!(demand.admit_anybody().is_ok() && !demand.is_anonymous());
        }
    }
    assert_eq!(&**policy.decide("GET", None).unwrap().name(), "GET *");
}

#[test]
fn the_first_rule_that_fits_path_and_method_decides() {
    let policy = policy(&["/a/b", "GET /a/{x}", "POST /a/*", "/c/*"]);
    for (method, path, decides) in [
        ("GET", "/a/b", "/a/b"),
        ("GET", "/a/x", "/a/{x}"),
        ("HEAD", "/a/x", "/a/{x}"),
        ("POST", "/a/x", "/a/*"),
        ("POST", "/a", "/a/*"),
        ("PUT", "/a/x", "default"),
        ("GET", "/c/", "/c/*"),
        ("PURGE", "/c/d/e", "/c/*"),
        ("GET", "/", "default"),
        ("GET", "", "default"),
    ] {
        assert_eq!(decided(&policy, method, path), decides, "{method} {path}");
    }
    let name = |method| {
        policy
            .decide(method, Some("/c/secret"))
            .unwrap()
            .name()
            .clone()
    };
    assert_eq!((&*name("GET"), &*name("PURGE")), ("GET /c/*", "other /c/*"));
    assert_eq!(
        policy.decide("GET", None).unwrap_err(),
        Undecided::PathUnknown
    );
}

#[test]
fn a_path_that_can_be_read_in_ways_that_meet_different_rules_is_refused() {
    let policy = policy(&["/admin/*", "/files/{name}", "/public/*"]);
    for path in [
        "/public/../admin/x",
        "/public/%2e%2e/admin",
        "/public/..%2fadmin",
        "/public/..;/admin",
        "/public/.%00./../admin",
        "/public/\\../../admin",
        "/public/..%5cadmin",
        "/public/%252e%252e/admin",
        "/public/%c0%ae%c0%ae/admin",
        "//admin",
        "/%2fadmin",
        "/admin;x=1",
        "/admin%3Bx",
        "/admin%3f",
        "/admin%23x",
        "/admin%00",
        "/%2561dmin",
        "/Admin/x",
        "/aDMIN",
        "/files/a%2fb",
        "/files/..",
        "/%zz",
        "/a b",
        "admin",
        "http://host/admin",
    ] {
        assert_eq!(decided(&policy, "GET", path), "Ambiguous", "{path}");
    }
    for (path, decides) in [
        ("/%61dmin/x", "/admin/*"),
        ("/admin/a%2fb", "/admin/*"),
        ("/admin//x;y=1", "/admin/*"),
        ("/files/a%20b", "/files/{name}"),
        ("/files/100%25", "/files/{name}"),
        ("/public/%E9", "/public/*"),
        ("/other%2fx", "default"),
        ("/.well-known/x", "default"),
    ] {
        assert_eq!(decided(&policy, "GET", path), decides, "{path}");
    }
}

#[test]
fn a_method_in_lower_case_does_not_lead_around_a_rule() {
    let policy = policy(&["DELETE /a", "/a"]);
    assert_eq!(decided(&policy, "delete", "/a"), "Ambiguous");
    assert_eq!(decided(&policy, "Delete", "/a"), "Ambiguous");
    assert_eq!(decided(&policy, "patch", "/a"), "/a");
}

#[test]
fn what_is_asked_of_the_server_as_a_whole_fits_a_rule_for_everything_alone() {
    assert_eq!(decided(&policy(&["/a", "/*"]), "OPTIONS", "*"), "/*");
    assert_eq!(
        decided(&policy(&["/{a}", "GET /*"]), "OPTIONS", "*"),
        "default"
    );
    assert_eq!(decided(&policy(&["/*"]), "GET", "*"), "Ambiguous");
}

#[test]
fn a_rule_that_never_decides_is_refused() {
    let new = |rules: &[&str]| {
        let rules = rules.iter().copied().map(rule).collect();
        Policy::new(Environment::Production, rules).map_err(|(place, _)| place)
    };
    for (rules, place) in [
        (&["/a", "/a/"][..], 1),
        (&["/a", "/b", "/A"], 2),
        (&["/*", "/a"], 1),
        (&["/a/*", "GET /a/b"], 1),
        (&["GET /a", "HEAD /a"], 1),
        (&["GET /a/*", "POST /a", "GET POST /a"], 2),
        (&["/{x}", "/a"], 1),
    ] {
        assert_eq!(new(rules).unwrap_err(), place, "{rules:?}");
    }
    for rules in [
        &["/a", "/{x}", "/*"][..],
        &["GET /a", "/a"],
        &["HEAD /a", "GET /a"],
        &["GET /a", "GET POST /a"],
        &["/a/{x}", "/a/*"],
    ] {
        assert!(new(rules).is_ok(), "{rules:?}");
    }
    let many = (0..=MAX_RULES).map(|n| rule(&format!("/{n}"))).collect();
    let (place, invalid) = Policy::new(Environment::Production, many).unwrap_err();
    assert_eq!(place, MAX_RULES);
    assert!(invalid.message.contains("at most 1000 rules"));
}

#[test]
fn a_rule_says_what_is_needed() {
    let named = RuleDraft {
        permissions: Some("orders:read orders:write".to_owned()),
        ..draft("/*")
    };
    let nothing = RuleDraft {
        permissions: Some(String::new()),
        ..draft("/*")
    };
    let anonymous = RuleDraft {
        anonymous: true,
        ..draft("/*")
    };
    for (draft, permissions) in [
        (&draft("/*"), &["api:write"][..]),
        (&named, &["orders:read", "orders:write"]),
        (&nothing, &[]),
        (&anonymous, &[]),
    ] {
        let policy = one_rule(draft);
        let demand = policy.decide("POST", Some("/x")).unwrap();
        assert_eq!(needed(&demand), permissions);
        assert_eq!(demand.is_anonymous(), draft.anonymous);
    }
}

#[test]
fn a_closed_rule_lets_nobody_pass_and_one_for_another_environment_neither() {
    let closed = RuleDraft {
        deny: true,
        ..draft("/*")
    };
    let testing = RuleDraft {
        environment: Some(Environment::Testing),
        anonymous: true,
        ..draft("/*")
    };
    let production = RuleDraft {
        environment: Some(Environment::Production),
        ..draft("/*")
    };
    for (draft, reason) in [
        (closed, Some(Reason::RouteClosed)),
        (testing, Some(Reason::RouteEnvironment)),
        (production, None),
    ] {
        let policy = one_rule(&draft);
        let demand = policy.decide("GET", Some("/x")).unwrap();
        let denied = demand.admit_anybody().err().map(|denied| denied.reason);
        assert_eq!(denied, reason);
    }
}

#[test]
fn an_explanation_names_the_rules_before_and_the_readings_that_differ() {
    let policy = policy(&["GET /b", "POST /a", "/a", "/*"]);
    let explained = policy.explain("GET", "/a");
    let passed_over = explained.passed_over.iter();
    let passed_over: Vec<_> = passed_over.map(|(it, why)| (it.path(), *why)).collect();
    assert_eq!(passed_over, [("/b", Misfit::Path), ("/a", Misfit::Method)]);
    assert_eq!(explained.decided.unwrap().rule().unwrap().path(), "/a");
    assert_eq!(explained.readings.len(), 1);

    let explained = policy.explain("GET", "/x/%2e%2e/A");
    assert_eq!(explained.decided.unwrap_err(), Undecided::Ambiguous);
    let readings: Vec<_> = explained
        .readings
        .iter()
        .map(|it| (it.path.as_str(), it.ignores_case, it.rule.map(Rule::path)))
        .collect();
    assert_eq!(
        readings,
        [
            ("/x/../A", false, Some("/*")),
            ("/A", false, Some("/*")),
            ("/A", true, Some("/a")),
        ]
    );
}

/// How one server reads a path: what it does, in its order.
#[derive(Clone, Copy, Debug)]
enum Deed {
    DecodeAll,
    DecodeAllButSlashes,
    MergeSlashes,
    ResolveDots,
    StripParameters,
    TurnBackslashes,
    CutAtNul,
    DropNul,
    LowerCase,
}

/// A server's own reading, written without the code that is tested: segments.
fn as_a_server_reads(path: &str, deeds: &[Deed]) -> Vec<String> {
    let mut path = path.to_owned();
    for deed in deeds {
        path = match deed {
            Deed::DecodeAll => decoded(&path, "/"),
            Deed::DecodeAllButSlashes => decoded(&path, "%2F"),
            Deed::MergeSlashes => {
                while path.contains("//") {
                    path = path.replace("//", "/");
                }
                path
            }
            Deed::ResolveDots => resolved(&path),
            Deed::StripParameters => path
                .split('/')
                .map(|segment| segment.split(';').next().unwrap())
                .collect::<Vec<_>>()
                .join("/"),
            Deed::TurnBackslashes => path.replace('\\', "/"),
            Deed::CutAtNul => path.split('\0').next().unwrap().to_owned(),
            Deed::DropNul => path.replace('\0', ""),
            Deed::LowerCase => path.to_ascii_lowercase(),
        };
    }
    let path = path.strip_prefix('/').unwrap();
    let path = path.strip_suffix('/').unwrap_or(path);
    match path {
        "" => Vec::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}

fn decoded(path: &str, slash: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let value = rest.strip_prefix('%').and_then(|it| it.get(..2));
        let value = value.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value {
            Some(b'/') => out.push_str(slash),
            Some(value) => out.push(char::from(value)),
            None => out.push(c),
        }
        rest = &rest[if value.is_some() { 3 } else { c.len_utf8() }..];
    }
    out
}

fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if at + 1 == segments.len() {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Which rule decides by a server's reading: written once more, in another way.
fn rule_of_a_server(rules: &[&str], path: &[String]) -> Option<usize> {
    rules.iter().position(|rule| {
        let rule: Vec<&str> = rule
            .split('/')
            .skip(1)
            .filter(|it| !it.is_empty())
            .collect();
        let (fixed, is_open) = match rule.split_last() {
            Some((&"*", fixed)) => (fixed, true),
            _ => (rule.as_slice(), false),
        };
        let has_length = if is_open {
            path.len() >= fixed.len()
        } else {
            path.len() == fixed.len()
        };
        has_length
            && fixed
                .iter()
                .zip(path)
                .all(|(ours, theirs)| ours.starts_with('{') || ours == theirs)
    })
}

fn deed() -> impl Strategy<Value = Deed> {
    prop::sample::select(vec![
        Deed::DecodeAll,
        Deed::DecodeAllButSlashes,
        Deed::MergeSlashes,
        Deed::ResolveDots,
        Deed::StripParameters,
        Deed::TurnBackslashes,
        Deed::CutAtNul,
        Deed::DropNul,
        Deed::LowerCase,
    ])
}

const RULES: &[&[&str]] = &[
    &["/a", "/b/*"],
    &["/a/*", "/b/{x}", "/*"],
    &["/{x}/b", "/a/*"],
    &["/a/b/*", "/a/{x}", "/"],
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_the_policy_saw_is_what_any_server_sees(
        path in "/(a|b|A|\\.|/|;|\\\\|%2[eEfF]|%5[cC]|%25|2[eEfF]|%3[bB]|%00|%61|61){0,8}",
        // Whoever decodes at all does so at some point; what comes before and after is their own.
        before in prop::collection::vec(deed(), 0..4),
        decodes_slashes: bool,
        after in prop::collection::vec(deed(), 0..4),
        rules in prop::sample::select(RULES),
    ) {
        if let Ok(demand) = policy(rules).decide("GET", Some(&path)) {
            let decode = if decodes_slashes { Deed::DecodeAll } else { Deed::DecodeAllButSlashes };
            let deeds = [before, vec![decode], after].concat();
            let seen = as_a_server_reads(&path, &deeds);
            let place = rule_of_a_server(rules, &seen).map(|place| rules[place]);
            prop_assert_eq!(demand.rule().map(Rule::path), place, "{:?} {:?}", deeds, seen);
        }
    }

    #[test]
    fn a_plain_path_in_the_case_of_the_rules_is_never_refused(
        path in "(/[ab]|/a\\.b){0,3}/?",
        rules in prop::sample::select(RULES),
    ) {
        prop_assert!(policy(rules).decide("GET", Some(&path)).is_ok());
    }

    #[test]
    fn an_explanation_says_what_was_decided(
        path in "/(a|b|A|\\.|/|;|%2f|%2e){0,6}",
        method in "GET|get|POST",
    ) {
        let policy = policy(&["GET /a/*", "/{x}/b", "/*"]);
        let explained = policy.explain(&method, &path);
        let rules: Vec<_> = explained
            .readings
            .iter()
            .map(|reading| reading.rule.map(std::ptr::from_ref))
            .collect();
        let (first, all_same) = match rules.as_slice() {
            [] => (None, false),
            [first, others @ ..] => (*first, others.iter().all(|other| other == first)),
        };
        match explained.decided {
            Ok(demand) => {
                prop_assert!(all_same);
                prop_assert_eq!(first, demand.rule().map(std::ptr::from_ref));
            }
            Err(_) => prop_assert!(!all_same),
        }
    }
}
