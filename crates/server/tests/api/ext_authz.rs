//! `envoy.service.auth.v3.Authorization/Check`: what Envoy hears of each credential, and of questions that
//! no Envoy puts.

pub mod question;

use std::time::Duration;

use envoy_types::ext_authz::v3::pb::CheckRequest;
use envoy_types::pb::envoy::config::core::v3::HeaderValue;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sealgate_core::authority::Settings;
use sealgate_core::request::KeyRequest;
use sealgate_server::HttpSettings;
use tokio::runtime::Runtime;

use self::question::{Decision, Question, ask, check, send_bytes, try_check};
use crate::support::{Call, OTHER_SEAL_KEY, PASSWORD, SEAL_KEY, World, get, settings};

pub const IDENTITY: [&str; 5] = [
    "x-auth-kind",
    "x-auth-key-id",
    "x-auth-subject",
    "x-auth-permissions",
    "x-auth-environment",
];
const CREDENTIALS: [&str; 3] = ["authorization", "x-api-key", "x-gomaluum-key"];

#[tokio::test]
async fn envoy_hears_of_each_credential_what_every_proxy_hears() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let (reader, seal) = (
        world.key("api:read x:y").await,
        world.key("session:seal").await,
    );
    let session = world.session("ada", Some(SEAL_KEY)).await;
    let sealed = world.session("ada", Some(&seal.text)).await;
    let (key, token) = (reader.text.as_str(), reader.token.as_str());
    for method in ["GET", "HEAD", "POST", "PROPFIND", "get"] {
        for headers in [
            vec![],
            vec![("x-api-key", key)],
            vec![("x-api-key", world.admin.text.as_str())],
            vec![("x-api-key", "nonsense")],
            vec![("x-api-key", "")],
            vec![("x-api-key", key), ("x-api-key", key)],
            vec![("authorization", "Basic YTpi")],
            vec![("authorization", "Bearer"), ("x-api-key", key)],
            vec![("token", token)],
            vec![("token", "nonsense")],
            vec![("token", token), ("x-api-key", key)],
            vec![("token", token), ("token", token)],
            vec![("token", &session)],
            vec![("token", &session), ("x-gomaluum-key", SEAL_KEY)],
            vec![("token", &session), ("x-gomaluum-key", OTHER_SEAL_KEY)],
            vec![
                ("token", &session),
                ("x-gomaluum-key", SEAL_KEY),
                ("x-gomaluum-key", SEAL_KEY),
            ],
            vec![("token", &sealed), ("x-gomaluum-key", &seal.text)],
        ] {
            assert_same_answer(&world, method, &headers).await;
        }
    }
}

/// Asks in all three ways, and compares the answers.
async fn assert_same_answer(world: &World, method: &str, headers: &[(&str, &str)]) {
    let verify = get("/api/auth/verify").header("X-Original-Method", method);
    let (proxy, envoy) =
        headers.iter().fold(
            (verify, ask(method)),
            |(proxy, envoy), header| match *header {
                ("token", text) => (proxy.token(text), envoy.token(text)),
                (name, text) => (proxy.header(name, text), envoy.header(name, text)),
            },
        );
    let expected = Call::send(proxy, world).await;
    for question in [envoy.clone(), envoy.joined()] {
        let decision = question.send(world).await;
        let context = format!("{method} {headers:?} {question:?} {decision:?}");
        assert_eq!(
            decision.status,
            u32::from(expected.status.as_u16()),
            "{context}"
        );
        let names = match decision.status {
            200 => &IDENTITY[..],
            _ => &["www-authenticate", "retry-after", "cache-control"],
        };
        for name in names {
            let values = expected.headers.get_all(*name).iter();
            let values: Vec<_> = values.map(|it| it.to_str().unwrap()).collect();
            assert_eq!(decision.values(name), values, "{name}: {context}");
        }
        if decision.status == 200 {
            let is_left = |name: &&str| !decision.values(name).is_empty();
            assert!(!CREDENTIALS.iter().any(is_left), "{context}");
        } else {
            assert_eq!(decision.values("x-request-id").len(), 1, "{context}");
        }
    }
}

#[tokio::test]
async fn the_code_of_an_answer_says_what_its_status_says() {
    let world = World::new().await;
    let limited = world.key_of(KeyRequest {
        rate_limit: Some(1),
        ..KeyRequest::default()
    });
    let limited = limited.await;
    let passed = ask("GET").key(&limited.text).send(&world).await;
    assert_eq!((passed.status, passed.code), (200, 0));
    let names: Vec<&str> = passed.added.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"ratelimit-remaining"), "{passed:?}");
    let stopped = ask("GET").key(&limited.text).send(&world).await;
    assert_eq!((stopped.status, stopped.code), (429, 8));
    assert_eq!(stopped.values("retry-after").len(), 1, "{stopped:?}");
    assert_eq!(stopped.values("ratelimit-remaining"), ["0"]);
    let reader = world.key("api:read").await;
    for (question, status, code) in [
        (ask("GET"), 401, 16),
        (ask("POST").key(&reader.text), 403, 7),
        (ask("").key(&reader.text), 400, 3),
    ] {
        let decision = question.send(&world).await;
        assert_eq!((decision.status, decision.code), (status, code));
    }
}

#[tokio::test]
async fn a_credential_that_is_there_twice_is_refused_however_envoy_hands_it_on() {
    let world = World::new().await;
    world.user("ada", PASSWORD).await;
    let (one, other) = (world.key("api:read").await, world.key("api:read").await);
    let session = world.session("ada", Some(SEAL_KEY)).await;
    for question in [
        ask("GET").key(&one.text).key(&other.text),
        ask("GET").key(&one.text).key(""),
        (0..5_000).fold(ask("GET"), |question, _| question.key("")),
        ask("GET").token(&one.token).token(&other.token),
        ask("GET")
            .token(&session)
            .seal_key(SEAL_KEY)
            .seal_key(SEAL_KEY),
    ] {
        for question in [question.clone(), question.joined()] {
            assert_eq!(question.status(&world).await, 401, "{question:?}");
            assert_eq!(world.refusals().await[0], "duplicate_credential");
        }
    }
    let mut both_ways = ask("GET").key(&one.text).message();
    let attributes = both_ways.attributes.as_mut().unwrap();
    let http = attributes.request.as_mut().unwrap().http.as_mut().unwrap();
    let spelled = ("X-API-Key".to_owned(), one.text.clone());
    http.headers.extend([spelled]);
    let decision = Decision::of(check(&world, both_ways).await, &[]);
    assert_eq!(decision.status, 401);
    assert_eq!(world.refusals().await[0], "duplicate_credential");
}

#[tokio::test]
async fn a_header_counts_whether_it_is_told_as_bytes_or_as_text_and_in_either_case() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let upper = ask("GET").header("X-API-KEY", &key.text);
    assert_eq!(upper.status(&world).await, 200);
    let mut as_text = ask("GET").key(&key.text).message();
    let attributes = as_text.attributes.as_mut().unwrap();
    let http = attributes.request.as_mut().unwrap().http.as_mut().unwrap();
    for HeaderValue {
        value, raw_value, ..
    } in &mut http.header_map.as_mut().unwrap().headers
    {
        *value = String::from_utf8(std::mem::take(raw_value)).unwrap();
    }
    let decision = Decision::of(check(&world, as_text).await, &[]);
    assert_eq!(decision.status, 200);
    for value in ["caf\u{e9}".as_bytes(), b"caf\xe9"] {
        let question = ask("GET").header("x-api-key", value);
        assert_eq!(question.status(&world).await, 401);
    }
    for value in [&b"a\r\nb"[..], b"a\0b"] {
        let question = ask("GET").header("x-api-key", value);
        assert_eq!(question.status(&world).await, 400);
    }
}

#[tokio::test]
async fn a_key_is_bound_to_the_address_that_envoy_tells() {
    let networks = HttpSettings {
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        ..HttpSettings::default()
    };
    let world = World::with_http(networks).await;
    let key = world.key_of(KeyRequest {
        allowed_ips: vec!["192.0.2.0/24".to_owned()],
        ..KeyRequest::default()
    });
    let key = key.await;
    for (address, forwarded, status) in [
        (Some("192.0.2.7"), None, 200),
        (Some("::ffff:192.0.2.7"), None, 200),
        (Some("203.0.113.9"), None, 401),
        (Some("203.0.113.9"), Some("192.0.2.7"), 401),
        (Some("10.0.0.1"), Some("192.0.2.7, 10.0.0.1"), 200),
        (Some("10.0.0.1"), Some("192.0.2.7, 203.0.113.9"), 401),
        (Some("nonsense"), Some("192.0.2.7"), 401),
        (Some(""), None, 401),
        (None, Some("192.0.2.7"), 401),
    ] {
        let question = ask("GET").key(&key.text).from(address);
        let question = match forwarded {
            Some(told) => question.header("x-forwarded-for", told),
            None => question,
        };
        assert_eq!(question.status(&world).await, status, "{question:?}");
        assert_eq!(question.joined().status(&world).await, status);
    }
}

#[tokio::test]
async fn a_question_about_no_request_is_answered_with_a_refusal() {
    let world = World::new().await;
    let key = world.key("api:*").await;
    let good = ask("GET").key(&key.text);
    let whole = good.message();
    let mut without = vec![CheckRequest::default()];
    let mut message = whole.clone();
    message.attributes.as_mut().unwrap().request = None;
    without.push(message);
    let mut message = whole;
    message
        .attributes
        .as_mut()
        .unwrap()
        .request
        .as_mut()
        .unwrap()
        .http = None;
    without.push(message);
    for message in without {
        let decision = Decision::of(check(&world, message).await, &[]);
        assert_eq!((decision.status, decision.code), (400, 3));
    }
    for path in ["orders", "http://a/b", "?a", "\\"] {
        let question = good.clone().path(path);
        assert_eq!(question.status(&world).await, 400, "{path}");
    }
    for path in ["/", "*", "", "/caf\u{e9}"] {
        let question = good.clone().path(path);
        assert_eq!(question.status(&world).await, 200, "{path}");
    }
}

#[tokio::test]
async fn a_question_that_is_too_large_or_no_message_lets_nobody_through() {
    let world = World::new().await;
    let key = world.key("api:read").await;
    let question = |bytes: usize| {
        let question = ask("GET").key(&key.text);
        question.header("x-padding", "a".repeat(bytes)).message()
    };
    assert!(try_check(&world, question(200_000)).await.is_ok());
    let error = try_check(&world, question(300_000)).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::OutOfRange);
    assert_eq!(send_bytes(&world, b"\x0a\xff\xff").await, b"");
}

#[tokio::test]
async fn a_refusal_is_told_to_envoy_and_kept_with_its_method_path_and_address() {
    let world = World::new().await;
    let question = ask("DELETE").path("/orders/7?secret=x").key("nonsense");
    let question = question.header("user-agent", "curl/8");
    let decision = question.send(&world).await;
    let event = &world.events().await[0];
    let told = |name: &str| event[name].as_str().unwrap().to_owned();
    assert_eq!(told("action"), "request.refused");
    assert_eq!(told("method"), "DELETE");
    assert_eq!(told("path"), "/orders/7");
    assert_eq!(told("address"), "192.0.2.7");
    assert_eq!(told("user_agent"), "curl/8");
    assert_eq!(told("request_id"), decision.values("x-request-id")[0]);
}

#[tokio::test]
async fn where_each_use_has_to_be_durable_envoy_hears_of_it_after_that() {
    let settings = Settings {
        audit_all_requests: true,
        ..settings()
    };
    let world = World::with(settings, HttpSettings::default()).await;
    let key = world.key("api:read").await;
    assert_eq!(ask("GET").key(&key.text).status(&world).await, 200);
    let event = &world.events().await[0];
    assert_eq!(event["key_id"].as_str(), Some(key.id.as_str()), "{event}");
    world.authority.store().close().await;
    let decision = ask("GET").key(&key.text).send(&world).await;
    assert_eq!((decision.status, decision.code), (503, 14));
    assert_eq!(decision.values("retry-after"), ["1"]);
}

#[tokio::test]
async fn what_takes_too_long_is_a_refusal_that_envoy_cannot_overlook() {
    let http = HttpSettings {
        request_timeout: Duration::ZERO,
        ..HttpSettings::default()
    };
    // A record has to be durable first, and no time is left for that.
    let settings = Settings {
        audit_all_requests: true,
        ..settings()
    };
    let world = World::with(settings, http).await;
    // A timer has a millisecond's grain, and a record can be quicker than that.
    for _ in 0..100 {
        let question = ask("GET").key(&world.admin.text);
        // Now and then it is the reading of the question that takes longer, which is no decision.
        let Some(decision) = question.try_send(&world).await else {
            continue;
        };
        if decision.status == 503 {
            assert_eq!(decision.code, 14);
            return;
        }
    }
    panic!("no record took longer than the time there was");
}

/// Names that are, or to some service look like, those of headers which are Sealgate's to say.
fn names() -> impl Strategy<Value = String> {
    let reserved = IDENTITY.into_iter().chain(CREDENTIALS);
    let reserved: Vec<&str> = reserved.collect();
    let spelled = (prop::sample::select(reserved), any::<u32>()).prop_map(|(name, bits)| {
        let folded = name.char_indices().map(|(at, c)| match c {
            '-' if bits >> at & 1 == 1 => '_',
            other => other,
        });
        folded.collect()
    });
    prop_oneof![3 => spelled, 1 => "[a-z_-]{1,12}", 1 => ":[a-z]{1,8}"]
}

fn questions() -> impl Strategy<Value = Question> {
    let method = prop_oneof!["GET|POST|CONNECT", "[A-Za-z]{0,8}", "\\PC{0,4}"];
    let path = prop_oneof!["/[a-z/.%;?]{0,12}", "\\PC{0,12}"];
    let address = prop::option::of("[0-9a-f:.]{0,16}|192\\.0\\.2\\.7");
    let header = (names(), vec(any::<u8>(), 0..24));
    let text = (names(), "[ -~]{0,24}").prop_map(|(name, value)| (name, value.into_bytes()));
    let headers = vec(prop_oneof![header, text], 0..8);
    let parts = (method, path, address, headers, any::<bool>());
    parts.prop_map(|(method, path, address, headers, raw)| Question {
        method,
        path,
        address,
        headers,
        raw,
    })
}

#[test]
fn whatever_envoy_asks_nobody_passes_without_a_good_credential() {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let run = TestRunner::default().run(&questions(), |question| {
        let response = runtime.block_on(check(&world, question.message()));
        let decision = Decision::of(response, &question.headers);
        prop_assert!(matches!(decision.status, 400 | 401), "{:?}", decision);
        Ok(())
    });
    run.unwrap();
}

#[test]
fn whatever_a_client_sends_besides_a_good_key_the_service_hears_sealgate_alone() {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let key = runtime.block_on(world.key("api:*"));
    let extra = vec((names(), "[!-~]{1,12}"), 0..8);
    let run = TestRunner::default().run(&(extra, any::<bool>()), |(extra, raw)| {
        let extra = extra
            .iter()
            .filter(|(name, _)| !CREDENTIALS.contains(&name.as_str()));
        let question = extra.fold(ask("GET").key(&key.text), |question, (name, value)| {
            question.header(name, value)
        });
        let question = Question { raw, ..question };
        let decision = runtime.block_on(question.send(&world));
        let id = key.id.as_str();
        prop_assert_eq!(decision.identity(), ["key", id, id, "api:*", "production"]);
        for (name, _) in &decision.headers {
            let folded = name.replace('_', "-");
            prop_assert!(!CREDENTIALS.contains(&folded.as_str()), "{:?}", decision);
            let is_identity = IDENTITY.contains(&folded.as_str());
            prop_assert!(!is_identity || folded == *name, "{:?}", decision);
        }
        Ok(())
    });
    run.unwrap();
}

#[test]
fn whatever_bytes_are_sent_in_place_of_a_question_nobody_passes() {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let run = TestRunner::default().run(&vec(any::<u8>(), 0..64), |bytes| {
        let answer = runtime.block_on(send_bytes(&world, &bytes));
        // The frame's five bytes, then field 1, the status: never empty, which would be OK.
        let is_refusal = answer.is_empty() || (answer[5] == 0x0a && answer[6] != 0);
        prop_assert!(is_refusal, "{:?}", answer);
        Ok(())
    });
    run.unwrap();
}
