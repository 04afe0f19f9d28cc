//! Rotation of the server keys: a verifier that refreshes hourly never meets a token that it has no key
//! for, and a key that is replaced at once is dead at once.

mod support;

use sealgate_core::authority::{Authority, Settings};
use sealgate_core::error::Reason;
use sealgate_core::view::SigningState;
use sealgate_token::jwt::{Algorithm, InvalidToken, KeySet, Policy, Signer, Untrusted};
use support::{Site, bear, create, operator, present, reason};

const HOUR: i64 = 3_600_000;

fn settings() -> Settings {
    Settings {
        algorithm: Algorithm::EdDsa,
        max_staleness_millis: i64::MAX,
        ..Settings::default()
    }
}

/// A verifier that has read the set of keys at some moment.
struct Verifier {
    keys: KeySet,
}

impl Verifier {
    fn refreshed(server: &Authority) -> Self {
        Self {
            keys: KeySet::parse(&server.jwk_set().to_string()).expect("a set"),
        }
    }

    fn accepts(&self, token: &str, now: i64) -> Result<(), InvalidToken> {
        let untrusted = Untrusted::parse(token)?;
        let Signer::Server { kid, .. } = untrusted.signer() else {
            panic!("not signed by a server key")
        };
        let key = self.keys.find(kid).ok_or(InvalidToken::KeyMismatch)?;
        let verified = untrusted.verify_server(key, &Policy::new("sealgate"), now);
        verified.map(|_| ())
    }
}

#[tokio::test]
async fn verifiers_that_refresh_hourly_accept_every_token_through_a_rotation() {
    let site = Site::new();
    let server = site.server_with(site.store().await, settings()).await;
    let other = site.server_with(site.store().await, settings()).await;
    let client = create(&server, "client").await;
    // One for each ten minutes past the hour; a new set arrives an hour late, from a cache.
    let mut verifiers: Vec<_> = (0..6).map(|_| Verifier::refreshed(&server)).collect();
    let mut cached = verifiers
        .iter()
        .map(|_| Verifier::refreshed(&server))
        .collect::<Vec<_>>();
    let mut tokens: Vec<(String, i64)> = Vec::new();
    for step in 0_usize..60 {
        if step == 7 || step == 20 {
            let cli = site.command_line_with(settings()).await;
            cli.rotate_server_keys(false, &operator()).await.unwrap();
        }
        for process in [&server, &other] {
            process.sync().await.unwrap();
            process.forget_sessions().await.unwrap();
            let identity = present(process, &client).await.unwrap();
            let grant = process.exchange(&identity, &operator()).await.unwrap();
            let exp = process.now().as_seconds() + grant.expires_in;
            tokens.push((grant.token.expose().to_owned(), exp));
        }
        let due = step % 6;
        verifiers[due] = std::mem::replace(&mut cached[due], Verifier::refreshed(&server));
        let now = server.now().as_seconds();
        tokens.retain(|(_, exp)| now < *exp);
        for (token, _) in &tokens {
            for verifier in &verifiers {
                assert_eq!(verifier.accepts(token, now), Ok(()), "at step {step}");
            }
            bear(&server, token).await.unwrap();
            bear(&other, token).await.unwrap();
        }
        site.clock.advance_millis(HOUR / 6);
    }
    let views = server.server_key_views();
    let states: Vec<_> = views.iter().map(|view| view.state).collect();
    assert_eq!(
        states,
        [SigningState::Signing],
        "the others have left the set"
    );
}

#[tokio::test]
async fn a_key_is_published_then_signs_and_the_one_before_is_retired_then_gone() {
    use SigningState::{Published, Retired, Signing};
    let site = Site::new();
    let server = site.server_with(site.store().await, settings()).await;
    let states = || {
        server
            .server_key_views()
            .iter()
            .map(|view| view.state)
            .collect::<Vec<_>>()
    };
    server.rotate_server_keys(false, &operator()).await.unwrap();
    assert_eq!(states(), [Published, Signing]);
    site.clock.advance_millis(2 * HOUR);
    assert_eq!(states(), [Signing, Retired]);
    site.clock.advance_millis(HOUR + 300_000);
    server.forget_sessions().await.unwrap();
    assert_eq!(states(), [Signing]);
    assert_eq!(server.store().signing_keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_key_that_is_replaced_at_once_is_dead_everywhere_with_its_tokens() {
    let site = Site::new();
    let here = site.server_with(site.store().await, settings()).await;
    let there = site.server_with(site.store().await, settings()).await;
    let client = create(&here, "client").await;
    there.sync().await.unwrap();
    let token = client.grant.token.expose();
    for process in [&here, &there] {
        // Twice: the second time it is remembered.
        bear(process, token).await.unwrap();
        bear(process, token).await.unwrap();
    }
    let old = here.jwk_set()["keys"][0]["kid"].clone();
    // The settings of the command line need not be those of the server.
    let cli = site.command_line().await;
    let made = cli.rotate_server_keys(true, &operator()).await.unwrap();
    assert_eq!((made.len(), made[0].algorithm), (1, "EdDSA"));
    for process in [&here, &there] {
        process.sync().await.unwrap();
        let refused = reason(bear(process, token).await);
        assert_eq!(refused, Reason::InvalidToken("unknown_signing_key"));
        assert!(
            !process
                .jwk_set()
                .to_string()
                .contains(old.as_str().unwrap())
        );
        let identity = present(process, &client).await.unwrap();
        let grant = process.exchange(&identity, &operator()).await.unwrap();
        bear(process, grant.token.expose()).await.unwrap();
    }
}

#[tokio::test]
async fn another_algorithm_is_published_before_it_signs_where_the_one_before_was_published_too() {
    let site = Site::new();
    let server = site.server_with(site.store().await, settings()).await;
    let client = create(&server, "client").await;
    let es256 = Settings {
        algorithm: Algorithm::Es256,
        ..settings()
    };
    let changed = site.server_with(site.store().await, es256).await;
    for (advance, expected) in [(0, Algorithm::EdDsa), (2 * HOUR, Algorithm::Es256)] {
        site.clock.advance_millis(advance);
        let identity = present(&changed, &client).await.unwrap();
        let grant = changed.exchange(&identity, &operator()).await.unwrap();
        let untrusted = Untrusted::parse(grant.token.expose()).unwrap();
        assert!(
            matches!(untrusted.signer(), Signer::Server { algorithm, .. } if algorithm == expected)
        );
    }
}
