//! Access tokens that are verified here, with what the server publishes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealgate_client::{Mode, VerifierOptions};
use sealgate_core::request::KeyRequest;
use sealgate_token::jwt::{Algorithm, Claims, SigningKey, Untrusted, issue_hs256};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{Server, Service, eventually, options, settings};

const VERIFY: &str = "/api/auth/verify";
const KEYS: &str = "/.well-known/jwks.json";

/// The published key, as the server's set has it.
async fn published(server: &Server) -> Value {
    let set = crate::http::Call::new(server.address, "GET", KEYS);
    set.send().await.ok()["keys"][0].clone()
}

fn claims(key_id: &str, now: i64) -> Claims {
    Claims {
        iss: "sealgate".to_owned(),
        sub: key_id.parse().unwrap(),
        prefix: "aB3dE5fG".to_owned(),
        permissions: "*".to_owned(),
        is_admin: true,
        iat: now,
        exp: now + 600,
        auth_time: now,
        jti: Uuid::from_u128(7),
    }
}

fn now(server: &Server) -> i64 {
    use sealgate_core::clock::Clock as _;
    server.home.clock.now().as_seconds()
}

#[tokio::test]
async fn tokens_of_either_server_key_are_verified_without_asking() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let server = Server::start(settings(algorithm)).await;
        let key = server.key("api:read orders:*").await;
        let service = server.service(Mode::LocalThenRemote).await;
        let told = service.get("/").token(&key.token).send().await.ok();
        assert_eq!(told["kind"], "token");
        assert_eq!(told["key_id"], key.id.as_str());
        assert_eq!(told["subject"], key.id.as_str());
        assert_eq!(told["permissions"], "api:read orders:*");
        assert_eq!(told["environment"], Value::Null);
        assert_eq!(told["expires_at"], now(&server) + 3_600);
        assert_eq!(service.post("/").token(&key.token).status().await, 403);
        assert_eq!(server.wire().count(VERIFY), 0, "{algorithm}");
    }
}

#[tokio::test]
async fn an_administrators_token_allows_everything() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let admin = KeyRequest {
        is_admin: true,
        ..KeyRequest::default()
    };
    let admin = server.key_of(admin).await;
    let service = server.service(Mode::Local).await;
    let told = service.post("/").token(&admin.token).send().await.ok();
    assert_eq!(told["permissions"], "*");
}

#[tokio::test]
async fn what_only_the_server_can_verify_is_refused_where_it_is_not_asked() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::Local).await;
    let good = || service.get("/").token(&key.token);
    assert_eq!(good().status().await, 200);
    assert_eq!(service.get("/").key(&key.text).status().await, 401);
    // A key beside a token would have to be good too.
    assert_eq!(good().key(&key.text).status().await, 401);
    let own_secret = issue_hs256(&claims(&key.id, now(&server)), &[7; 32]).unwrap();
    assert_eq!(service.get("/").token(&own_secret).status().await, 401);
    assert_eq!(service.get("/").status().await, 401);
    assert_eq!(server.wire().count(VERIFY), 0);
}

#[tokio::test]
async fn a_second_credential_has_to_be_good_too() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::LocalThenRemote).await;
    let both = |other: &str| service.get("/").token(&key.token).key(other);
    assert_eq!(both(&key.text).status().await, 200);
    assert_eq!(both("nonsense").status().await, 401);
}

#[tokio::test]
async fn a_token_is_dead_at_its_expiry_to_the_second() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let options = VerifierOptions {
        mode: Mode::Local,
        max_staleness: std::time::Duration::from_hours(2),
        ..options()
    };
    let service = Service::protected(server.verifier_with(options).await).await;
    server.home.clock.advance_millis(3_599_000);
    assert_eq!(service.get("/").token(&key.token).status().await, 200);
    server.home.clock.advance_millis(1_000);
    // The list has expired with it, and has to be fetched before anybody can say so.
    let status = eventually("a fresh list", || async {
        let status = service.get("/").token(&key.token).status().await;
        (status != 503).then_some(status)
    })
    .await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn forged_tokens_are_refused_and_the_server_is_not_bothered_with_them() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::LocalThenRemote).await;
    let public = published(&server).await;
    let kid = public["kid"].as_str().unwrap();
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    let parts: Vec<&str> = key.token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts");
    };
    let told = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let promoted = encode(told.replace("\"is_admin\":false", "\"is_admin\":true"));
    assert_ne!(promoted, payload);
    let none = encode(r#"{"alg":"none","typ":"JWT"}"#.to_owned());
    let named_none = encode(format!(r#"{{"alg":"none","typ":"JWT","kid":"{kid}"}}"#));
    let hs256 = encode(format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{kid}"}}"#));
    let es256 = encode(format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{kid}"}}"#));
    let mut flipped = signature.to_owned();
    let other = if flipped.starts_with('A') { "B" } else { "A" };
    flipped.replace_range(..1, other);
    for forged in [
        format!("{header}.{promoted}.{signature}"),
        format!("{header}.{payload}.{flipped}"),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{named_none}.{payload}."),
        format!("{hs256}.{payload}.{signature}"),
        format!("{es256}.{payload}.{signature}"),
        format!("{header}.{payload}"),
        format!("{payload}.{payload}.{payload}"),
        "nonsense".to_owned(),
    ] {
        let status = service.get("/").token(&forged).status().await;
        assert_eq!(status, 401, "{forged}");
    }
    assert_eq!(server.wire().count(VERIFY), 0);
}

#[tokio::test]
async fn the_public_key_is_no_secret_to_sign_with() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let public = published(&server).await;
    let secret = URL_SAFE_NO_PAD
        .decode(public["x"].as_str().unwrap())
        .unwrap();
    let secret: [u8; 32] = secret.try_into().unwrap();
    let forged = issue_hs256(&claims(&key.id, now(&server)), &secret).unwrap();
    for mode in [Mode::Local, Mode::LocalThenRemote] {
        let service = server.service(mode).await;
        assert_eq!(service.get("/").token(&forged).status().await, 401);
    }
}

#[tokio::test]
async fn the_key_that_signs_lists_alone_signs_no_token() {
    let server = Server::start(settings(Algorithm::Hs256)).await;
    let key = server.key("api:read").await;
    let records = server.authority.store().signing_keys().await.unwrap();
    let of_lists = SigningKey::from_pkcs8(Algorithm::EdDsa, &records[0].pkcs8).unwrap();
    let public = published(&server).await;
    assert_eq!(public["kid"], of_lists.kid().to_string());
    let forged = of_lists.issue(&claims(&key.id, now(&server))).unwrap();
    for mode in [Mode::Local, Mode::LocalThenRemote] {
        let service = server.service(mode).await;
        assert_eq!(service.get("/").token(&forged).status().await, 401);
    }
}

#[tokio::test]
async fn a_token_of_another_issuer_is_refused() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let records = server.authority.store().signing_keys().await.unwrap();
    let signing = SigningKey::from_pkcs8(Algorithm::EdDsa, &records[0].pkcs8).unwrap();
    let service = server.service(Mode::Local).await;
    let issued = |iss: &str| {
        let claims = Claims {
            iss: iss.to_owned(),
            ..claims(&key.id, now(&server))
        };
        signing.issue(&claims).unwrap()
    };
    let call = |token: String| service.get("/").token(&token);
    assert_eq!(call(issued("sealgate")).status().await, 200);
    assert_eq!(call(issued("elsewhere")).status().await, 401);
}

#[tokio::test]
async fn unknown_keys_have_the_published_ones_fetched_once_however_many_ask() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let service = server.service(Mode::Local).await;
    let fetched = server.wire().count(KEYS);
    let (stranger, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let forged = stranger.issue(&claims(&key.id, now(&server))).unwrap();
    assert!(Untrusted::parse(&forged).is_ok());
    // The first fetch was just now.
    assert_eq!(service.get("/").token(&forged).status().await, 401);
    assert_eq!(server.wire().count(KEYS), fetched);
    server.home.clock.advance_millis(6_000);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let call = service.get("/").token(&forged);
        asking.spawn(call.status());
    }
    assert!(asking.join_all().await.iter().all(|status| *status == 401));
    assert_eq!(server.wire().count(KEYS), fetched + 1);
    assert_eq!(service.get("/").token(&key.token).status().await, 200);
}

#[tokio::test]
async fn tokens_of_a_revoked_key_are_refused_within_three_seconds() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let (key, other) = (server.key("api:read").await, server.key("api:read").await);
    let service = server.service(Mode::Local).await;
    assert_eq!(service.get("/").token(&key.token).status().await, 200);
    server.revoke(&key).await;
    let refused = tokio::time::timeout(
        std::time::Duration::from_secs(3),
        eventually("the revocation", || async {
            let status = service.get("/").token(&key.token).status().await;
            (status == 401).then_some(())
        }),
    );
    refused.await.expect("within three seconds");
    assert_eq!(service.get("/").token(&other.token).status().await, 200);
    assert_eq!(server.wire().count(VERIFY), 0);
}

#[tokio::test]
async fn of_a_token_that_lives_for_longer_than_the_list_tells_of_the_server_is_asked() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    // As if the server had issued it while its setting was higher.
    let records = server.authority.store().signing_keys().await.unwrap();
    let signing = SigningKey::from_pkcs8(Algorithm::EdDsa, &records[0].pkcs8).unwrap();
    let (local, both) = (
        server.service(Mode::Local).await,
        server.service(Mode::LocalThenRemote).await,
    );
    let now = now(&server);
    for (lifetime, status) in [(3_600, 200), (3_601, 401)] {
        let claims = Claims {
            exp: now + lifetime,
            ..claims(&key.id, now)
        };
        let token = signing.issue(&claims).unwrap();
        let call = local.get("/").token(&token);
        assert_eq!(call.status().await, status, "{lifetime}");
        assert_eq!(both.get("/").token(&token).status().await, 200);
    }
    assert_eq!(server.wire().count(VERIFY), 1);
}

#[tokio::test]
async fn a_token_that_was_logged_out_is_refused_and_its_key_is_not() {
    let server = Server::start(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let exchanged = server
        .post("/api/auth/token")
        .key(&key.text)
        .send()
        .await
        .ok();
    let other = exchanged["token"].as_str().unwrap().to_owned();
    let service = server.service(Mode::Local).await;
    server.log_out(&key.token).await;
    eventually("the logout", || async {
        let status = service.get("/").token(&key.token).status().await;
        (status == 401).then_some(())
    })
    .await;
    assert_eq!(service.get("/").token(&other).status().await, 200);
}
