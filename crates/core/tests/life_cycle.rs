//! What happens to a key from its making to its end, over a real store.

mod support;

use std::time::Duration;

use sealgate_core::audit::Query;
use sealgate_core::authority::{Caller, Credential, KeyFilter, Settings};
use sealgate_core::error::{Error, Reason};
use sealgate_core::key::{Environment, KeyRecord, Status};
use sealgate_core::permission::Permission;
use sealgate_core::rate::RateLimit;
use sealgate_core::request::{KeyPatch, KeyRequest};
use sealgate_core::secret::SecretText;
use support::{HERE, Site, bear, create, operator, present, reason, request};

#[tokio::test]
async fn a_new_key_is_good_at_once_for_what_it_was_made_for() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "first").await;
    let identity = present(&server, &created).await.unwrap();
    assert_eq!(identity.key_id(), created.record.id);
    identity.require(Permission::READ).unwrap();
    let refused = identity.require(Permission("billing:read")).unwrap_err();
    assert_eq!(
        refused.reason,
        Reason::MissingPermission("billing:read".into())
    );
    assert_eq!(
        identity.require_admin().unwrap_err().reason,
        Reason::NotAdmin
    );
}

#[tokio::test]
async fn a_key_made_by_another_process_is_found_by_asking_the_store() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&site.command_line().await, "from outside").await;
    assert!(present(&server, &created).await.is_ok());
}

#[tokio::test]
async fn a_revoked_key_and_its_tokens_are_refused_once_the_feed_is_read() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "doomed").await;
    let token = created.grant.token.expose().to_owned();
    assert!(bear(&server, &token).await.is_ok());

    let elsewhere = site.command_line().await;
    let id = created.record.id.to_string();
    elsewhere
        .revoke(&id, Some("leaked".into()), &operator())
        .await
        .unwrap();
    server.sync().await.unwrap();

    assert_eq!(
        reason(present(&server, &created).await),
        Reason::KeyIs(Status::Revoked)
    );
    assert_eq!(
        reason(bear(&server, &token).await),
        Reason::KeyIs(Status::Revoked)
    );
    let again = elsewhere.revoke(&id, None, &operator()).await.unwrap_err();
    assert_eq!(
        again.to_string(),
        "a key that is revoked cannot be revoked again"
    );
}

#[tokio::test]
async fn news_older_than_allowed_is_fetched_before_anybody_is_honoured() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "asleep").await;
    assert!(present(&server, &created).await.is_ok());
    site.command_line()
        .await
        .revoke(&created.record.id.to_string(), None, &operator())
        .await
        .unwrap();
    // Nobody read the feed meanwhile: the process was paused.
    site.clock.advance_millis(1_001);
    assert_eq!(
        reason(present(&server, &created).await),
        Reason::KeyIs(Status::Revoked)
    );
}

#[tokio::test]
async fn rotation_hands_everything_over_and_the_old_key_stops_at_once() {
    let site = Site::new();
    let server = site.server().await;
    let old = server
        .create(
            KeyRequest {
                expires_in_days: Some(30),
                rate_limit: Some(10),
                allowed_ips: vec!["127.0.0.0/8".into()],
                environment: Some(Environment::Production),
                description: "what it is for".into(),
                ..request("rotating")
            },
            &operator(),
        )
        .await
        .unwrap();
    site.clock.advance_millis(86_400_000);
    let rotated = server
        .rotate(&old.record.id.to_string(), 0, None, &operator())
        .await
        .unwrap();
    let kept = |key: &KeyRecord| {
        (
            key.name.clone(),
            key.description.clone(),
            key.permissions.clone(),
            key.expires_at,
            key.rate_limit,
            key.allowed_ips.clone(),
            key.environment,
            key.is_admin,
        )
    };
    assert_eq!(kept(&rotated.new.record), kept(&old.record));
    assert_eq!(rotated.new.record.rotated_from, Some(old.record.id));
    assert_eq!(rotated.old.rotated_to(), Some(rotated.new.record.id));
    assert_eq!(
        reason(present(&server, &old).await),
        Reason::KeyIs(Status::Rotated)
    );
    assert!(present(&server, &rotated.new).await.is_ok());
}

#[tokio::test]
async fn with_a_grace_both_keys_are_good_until_it_ends() {
    let site = Site::new();
    let server = site.server().await;
    let old = create(&server, "overlapping").await;
    let id = old.record.id.to_string();
    let rotated = server.rotate(&id, 60, None, &operator()).await.unwrap();
    site.clock.advance_millis(59_000);
    assert!(present(&server, &old).await.is_ok());
    assert!(present(&server, &rotated.new).await.is_ok());
    site.clock.advance_millis(1_000);
    assert_eq!(
        reason(present(&server, &old).await),
        Reason::KeyIs(Status::Rotated)
    );
    assert!(present(&server, &rotated.new).await.is_ok());
    let refused = server.rotate(&id, 0, None, &operator()).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict(_)), "{refused}");
}

#[tokio::test]
async fn an_expired_key_is_refused_at_its_second_and_recorded_as_expired() {
    let site = Site::new();
    let server = site.server().await;
    let request = KeyRequest {
        expires_in_days: Some(1),
        ..request("short")
    };
    let created = server.create(request, &operator()).await.unwrap();
    site.clock.advance_millis(86_400_000 - 1);
    assert!(present(&server, &created).await.is_ok());
    site.clock.advance_millis(1);
    assert_eq!(
        reason(present(&server, &created).await),
        Reason::KeyIs(Status::Expired)
    );
    server.record_expiries().await.unwrap();
    let filter = KeyFilter {
        status: Some(Status::Expired),
        ..KeyFilter::default()
    };
    let (expired, _) = server.list(&filter).await.unwrap();
    assert_eq!(expired.len(), 1);
    let query = Query {
        key_id: Some(created.record.id),
        limit: 1,
        ..Query::default()
    };
    let last = server.store().audit(&query).await.unwrap();
    assert_eq!(last[0].event.action.as_str(), "key.expired");
}

#[tokio::test]
async fn keys_are_listed_by_the_state_they_are_shown_in_whoever_recorded_it() {
    let site = Site::new();
    let elsewhere = site.command_line().await;
    let request = KeyRequest {
        expires_in_days: Some(1),
        ..request("short")
    };
    elsewhere.create(request, &operator()).await.unwrap();
    site.clock.advance_millis(86_400_000);
    let by = |status| KeyFilter {
        status: Some(status),
        ..KeyFilter::default()
    };
    let (active, _) = elsewhere.list(&by(Status::Active)).await.unwrap();
    let (expired, _) = elsewhere.list(&by(Status::Expired)).await.unwrap();
    assert_eq!((active.len(), expired.len()), (0, 1));
}

#[tokio::test]
async fn a_disabled_key_is_refused_until_it_is_enabled_again() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "switched").await;
    let id = created.record.id.to_string();
    let switch = |on| KeyPatch {
        is_active: Some(on),
        ..KeyPatch::default()
    };
    server
        .update(&id, switch(false), &operator())
        .await
        .unwrap();
    assert_eq!(
        reason(present(&server, &created).await),
        Reason::KeyIs(Status::Disabled)
    );
    server.update(&id, switch(true), &operator()).await.unwrap();
    assert!(present(&server, &created).await.is_ok());
    // What is on already is not switched on.
    server.update(&id, switch(true), &operator()).await.unwrap();
    let query = Query {
        key_id: Some(created.record.id),
        limit: 10,
        ..Query::default()
    };
    let log = server.store().audit(&query).await.unwrap();
    let actions: Vec<_> = log.iter().map(|r| r.event.action.as_str()).collect();
    let expected = ["key.updated", "key.enabled", "key.disabled", "key.created"];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn a_key_is_good_in_its_environment_and_from_its_addresses_alone() {
    let site = Site::new();
    let server = site.server().await;
    let of = |environment, ips: &[&str]| KeyRequest {
        environment: Some(environment),
        allowed_ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
        ..request("bound")
    };
    let testing = server
        .create(of(Environment::Testing, &[]), &operator())
        .await
        .unwrap();
    assert_eq!(
        reason(present(&server, &testing).await),
        Reason::OtherEnvironment
    );
    let v4 = server
        .create(of(Environment::Production, &["10.0.0.0/8"]), &operator())
        .await
        .unwrap();
    assert_eq!(
        reason(present(&server, &v4).await),
        Reason::AddressNotAllowed
    );
    let v6 = of(Environment::Production, &["2001:db8::/32"]);
    let v6 = server.create(v6, &operator()).await.unwrap();
    let key = Credential::Key(v6.api_key.expose());
    assert!(
        server
            .authenticate(key, "2001:db8::7".parse().unwrap())
            .await
            .is_ok()
    );
    assert_eq!(
        reason(server.authenticate(key, HERE).await),
        Reason::AddressNotAllowed
    );

    let settings = Settings {
        environment: Environment::Testing,
        ..Settings::default()
    };
    let staging = site.server_with(site.store().await, settings).await;
    assert!(present(&staging, &testing).await.is_ok());
}

#[tokio::test]
async fn a_rate_limit_holds_and_lets_go_with_time() {
    let site = Site::new();
    let server = site.server().await;
    let request = KeyRequest {
        rate_limit: Some(2),
        ..request("slow")
    };
    let created = server.create(request, &operator()).await.unwrap();
    let first = present(&server, &created)
        .await
        .unwrap()
        .allowance()
        .unwrap();
    assert_eq!((first.limit.requests(), first.remaining), (2, 1));
    assert_eq!(first.limit.window_seconds(), 3_600);
    assert!(present(&server, &created).await.is_ok());
    let wait = |refused| match reason(refused) {
        Reason::RateLimited { retry_after, .. } => retry_after,
        other => panic!("{other:?}"),
    };
    let told = wait(present(&server, &created).await);
    assert_eq!(told, Duration::from_mins(30));
    site.clock.advance_millis(1_799_999);
    let told = wait(present(&server, &created).await);
    assert_eq!(told, Duration::from_millis(1));
    site.clock.advance_millis(1);
    assert!(present(&server, &created).await.is_ok());
}

#[tokio::test]
async fn a_key_cannot_revoke_or_disable_itself() {
    let site = Site::new();
    let server = site.server().await;
    let admin = server
        .create(
            KeyRequest {
                is_admin: true,
                ..request("admin")
            },
            &operator(),
        )
        .await
        .unwrap();
    let own = Caller {
        actor: sealgate_core::audit::Actor::Key(admin.record.id),
        origin: sealgate_core::audit::Origin::default(),
        status: Some(200),
    };
    let id = admin.record.id.to_string();
    assert_eq!(reason(server.revoke(&id, None, &own).await), Reason::OwnKey);
    let off = KeyPatch {
        is_active: Some(false),
        ..KeyPatch::default()
    };
    assert_eq!(reason(server.update(&id, off, &own).await), Reason::OwnKey);
    assert!(present(&server, &admin).await.is_ok());
}

#[tokio::test]
async fn permissions_taken_from_a_key_are_taken_from_its_tokens_and_none_are_added() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "shrinking").await;
    let token = created.grant.token.expose();
    let id = created.record.id.to_string();
    let patch = KeyPatch {
        permissions: Some("api:read x:y".into()),
        ..KeyPatch::default()
    };
    server.update(&id, patch, &operator()).await.unwrap();
    let identity = bear(&server, token).await.unwrap();
    assert!(identity.require(Permission::READ).is_ok());
    assert!(identity.require(Permission::WRITE).is_err());
    assert!(identity.require(Permission("x:y")).is_err());
    assert!(
        present(&server, &created)
            .await
            .unwrap()
            .require(Permission("x:y"))
            .is_ok()
    );
}

#[tokio::test]
async fn a_key_of_the_original_system_works_once_imported_and_not_twice() {
    let site = Site::new();
    let server = site.server().await;
    let text = format!("aB3dE_gH.aB3dE_gH{}", "x-".repeat(24));
    let import = || KeyRequest {
        api_key: Some(SecretText::new(text.clone())),
        ..request("old")
    };
    let stranger = server.authenticate(Credential::Key(&text), HERE).await;
    assert_eq!(reason(stranger), Reason::UnknownKey);
    let imported = server.create(import(), &operator()).await.unwrap();
    assert!(present(&server, &imported).await.is_ok());
    assert!(matches!(
        server.create(import(), &operator()).await,
        Err(Error::Conflict(_))
    ));
}

#[tokio::test]
async fn malformed_requests_change_nothing() {
    let site = Site::new();
    let server = site.server().await;
    let secret = create(&server, "real").await.api_key;
    let bad: [fn(&mut KeyRequest); 14] = [
        |r| r.name = String::new(),
        |r| r.name = "x".repeat(101),
        |r| r.name = "bell\u{7}".into(),
        |r| r.description = "x".repeat(1_001),
        |r| r.permissions = Some("api:re\u{1}ad".into()),
        |r| r.permissions = Some("nonsense".into()),
        |r| r.expires_in_days = Some(0),
        |r| r.expires_in_days = Some(3_651),
        |r| r.rate_limit = Some(0),
        |r| r.rate_limit_window_seconds = Some(60),
        |r| (r.rate_limit, r.rate_limit_window_seconds) = (Some(1), Some(0)),
        |r| r.allowed_ips = vec!["10.0.0.0/33".into()],
        |r| r.allowed_ips = vec!["::1".into(); 65],
        |r| r.api_key = Some(SecretText::new("short".into())),
    ];
    for (n, spoil) in bad.into_iter().enumerate() {
        let mut request = request("bad");
        spoil(&mut request);
        let refused = server.create(request, &operator()).await;
        assert!(
            matches!(refused, Err(Error::Invalid { .. })),
            "{n}: {refused:?}"
        );
    }
    let planted = KeyRequest {
        name: secret.expose().to_owned(),
        ..request("x")
    };
    let refused = server
        .create(planted, &operator())
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("keep secrets out") && !refused.contains(&secret.expose()[9..20]));
    assert_eq!(server.list(&KeyFilter::default()).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn changes_of_one_key_from_two_sides_are_both_made() {
    let site = Site::new();
    let (a, b) = (site.server().await, site.command_line().await);
    let id = create(&a, "contended").await.record.id.to_string();
    let patch = |n: u32| KeyPatch {
        rate_limit: Some(Some(n)),
        ..KeyPatch::default()
    };
    let describe = |n: u32| KeyPatch {
        description: Some(format!("d{n}")),
        ..KeyPatch::default()
    };
    let caller = operator();
    for n in 1..=10 {
        let (x, y) = tokio::join!(
            a.update(&id, patch(n), &caller),
            b.update(&id, describe(n), &caller)
        );
        x.unwrap();
        y.unwrap();
        let key = a.key(&id).await.unwrap();
        assert_eq!(
            (key.rate_limit, key.description),
            (RateLimit::new(n, 3_600).ok(), format!("d{n}"))
        );
    }
}

#[tokio::test]
async fn keys_are_listed_page_by_page_and_found_by_name_prefix_and_due_date() {
    let site = Site::new();
    let server = site.server().await;
    for n in 0..25 {
        create(&server, &format!("Worker {n:02}")).await;
        site.clock.advance_millis(1);
    }
    let other = create(&server, "Zebra").await;
    let mut seen = Vec::new();
    let mut filter = KeyFilter {
        search: Some("worker".into()),
        limit: Some(10),
        ..KeyFilter::default()
    };
    loop {
        let (page, next) = server.list(&filter).await.unwrap();
        seen.extend(page.into_iter().map(|key| key.name));
        match next {
            Some(cursor) => filter.cursor = Some(cursor),
            None => break,
        }
    }
    let expected: Vec<_> = (0..25).map(|n| format!("Worker {n:02}")).collect();
    assert_eq!(seen, expected);
    let by = |search: String| KeyFilter {
        search: Some(search),
        ..KeyFilter::default()
    };
    for search in [
        other.record.prefix.to_string(),
        other.record.id.to_string(),
        "ZEB".into(),
    ] {
        let (found, _) = server.list(&by(search)).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id, other.record.id);
    }
    let due = KeyFilter {
        due: true,
        ..KeyFilter::default()
    };
    assert!(server.list(&due).await.unwrap().0.is_empty());
    site.clock.advance_millis(90 * 86_400_000 - 10);
    assert_eq!(server.list(&due).await.unwrap().0.len(), 15);
    let foreign = KeyFilter {
        cursor: Some("AAAA".into()),
        ..KeyFilter::default()
    };
    assert!(matches!(
        server.list(&foreign).await,
        Err(Error::Invalid {
            field: "cursor",
            ..
        })
    ));
}
