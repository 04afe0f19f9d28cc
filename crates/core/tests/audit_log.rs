//! The audit log over a real store: what is in it, in which order, and that it shows changes.

mod support;

use std::sync::Arc;

use sealgate_core::audit::{Actor, Origin};
use sealgate_core::authority::{Authority, Settings};
use sealgate_core::error::{Denied, Error, Reason};
use sealgate_core::key::KeyId;
use sealgate_core::request::KeyPatch;
use support::{HERE, Site, create, operator, present, refuse};

fn origin(path: &str) -> Origin {
    Origin {
        address: Some(HERE),
        user_agent: Some("curl/8.5.0".into()),
        method: Some("GET".into()),
        path: Some(path.into()),
        request_id: "0190b6a0-0000-7000-8000-000000000000".parse().ok(),
    }
}

async fn actions(server: &Authority, key: Option<KeyId>) -> Vec<String> {
    let page = server.logs(key, None, None).await.expect("readable");
    page.events.into_iter().map(|event| event.action).collect()
}

#[tokio::test]
async fn every_change_of_a_key_is_recorded_with_who_and_what() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "watched").await;
    let id = created.record.id.to_string();
    let patch = KeyPatch {
        rate_limit: Some(Some(5)),
        ..KeyPatch::default()
    };
    server.update(&id, patch, &operator()).await.unwrap();
    for is_active in [false, true] {
        let patch = KeyPatch {
            is_active: Some(is_active),
            ..KeyPatch::default()
        };
        server.update(&id, patch, &operator()).await.unwrap();
    }
    server
        .rotate(&id, 60, Some("yearly".into()), &operator())
        .await
        .unwrap();
    server
        .revoke(&id, Some("leaked".into()), &operator())
        .await
        .unwrap();
    assert_eq!(
        actions(&server, Some(created.record.id)).await,
        [
            "key.revoked",
            "key.rotated",
            "key.enabled",
            "key.disabled",
            "key.updated",
            "key.created"
        ]
    );
    let page = server
        .logs(Some(created.record.id), None, None)
        .await
        .unwrap();
    assert!(page.events.iter().all(|event| event.actor == "cli:tester"));
    assert_eq!(page.events[0].details["reason"], "leaked");
    assert_eq!(page.events[4].details["rate_limit"]["to"], 5);
    let window = &page.events[4].details["rate_limit_window_seconds"];
    assert_eq!(window["to"], 3_600);
}

#[tokio::test]
async fn served_requests_are_counted_at_once_and_recorded_when_their_minute_is_over() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "busy").await;
    let (id, route): (_, Arc<str>) = (created.record.id, "GET /api/encrypt".into());
    for _ in 0..3 {
        server
            .served(id, &route, &origin("/api/encrypt"), 200)
            .await
            .unwrap();
    }
    server.write_uses().await.unwrap();
    let page = server.logs(Some(id), None, None).await.unwrap();
    assert_eq!(page.events[0].action, "requests.counted");
    assert_eq!(page.events[0].details["count"], 3);
    assert_eq!(page.events[0].sequence, None);
    assert_eq!(server.key(&id.to_string()).await.unwrap().use_count, 3);

    server.close_minutes().await.unwrap();
    assert_eq!(
        server.logs(Some(id), None, None).await.unwrap().events[0].sequence,
        None
    );
    site.clock.advance_millis(66_000);
    server.close_minutes().await.unwrap();
    let page = server.logs(Some(id), None, None).await.unwrap();
    assert_eq!(page.events.len(), 2);
    assert!(page.events[0].sequence.is_some());
    assert_eq!(page.events[0].path.as_deref(), Some("/api/encrypt"));
    assert_eq!(page.events[0].address.as_deref(), Some("127.0.0.1"));
    assert!(server.verify_logs(|_| ()).await.unwrap().is_ok());
}

#[tokio::test]
async fn with_audit_of_all_requests_each_is_in_the_log_before_its_answer() {
    let site = Site::new();
    let settings = Settings {
        audit_all_requests: true,
        ..Settings::default()
    };
    let server = site.server_with(site.store().await, settings).await;
    let created = create(&server, "busy").await;
    let route: Arc<str> = "GET /x".into();
    server
        .served(created.record.id, &route, &origin("/x"), 200)
        .await
        .unwrap();
    let page = server
        .logs(Some(created.record.id), None, None)
        .await
        .unwrap();
    assert_eq!(page.events[0].action, "request.served");
    assert_eq!(page.events[0].status, Some(200));
    server.store().close().await;
    let refused = server
        .served(created.record.id, &route, &origin("/x"), 200)
        .await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn refusals_are_recorded_with_their_reason_and_equal_ones_together() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "poor").await;
    let identity = present(&server, &created).await.unwrap();
    let lacking = identity.denied(Reason::MissingPermission("api:admin".into()));
    let unknown = Denied {
        reason: Reason::UnknownKey,
        key_id: None,
    };
    refuse(&server, &lacking, &origin("/x"), 403);
    for _ in 0..5 {
        refuse(&server, &unknown, &origin("/y"), 401);
    }
    server.write_last_refusals().await.unwrap();
    let page = server.logs(None, None, Some(2)).await.unwrap();
    let by = |path: &str| {
        page.events
            .iter()
            .find(|e| e.path.as_deref() == Some(path))
            .unwrap()
    };
    assert_eq!(by("/x").details["needed"], "api:admin");
    assert_eq!(by("/x").key_id, Some(created.record.id.0));
    assert_eq!(by("/x").actor, Actor::Key(created.record.id).to_string());
    assert_eq!(by("/y").details["count"], 5);
    assert_eq!(by("/y").details["reason"], "unknown_key");
    assert_eq!(by("/y").user_agent.as_deref(), Some("curl/8.5.0"));
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_the_change_and_keeps_what_was_counted() {
    let site = Site::new();
    let server = site.server().await;
    let created = create(&server, "k").await;
    let route: Arc<str> = "GET /x".into();
    server
        .served(created.record.id, &route, &origin("/x"), 200)
        .await
        .unwrap();
    server.store().close().await;
    let id = created.record.id.to_string();
    assert!(matches!(
        server.revoke(&id, None, &operator()).await,
        Err(Error::Unavailable(_))
    ));
    assert!(server.write_uses().await.is_err());
    assert!(server.write_uses().await.is_err(), "the count was lost");
    assert!(!server.can_write());
}

#[tokio::test]
async fn the_log_is_read_page_by_page_and_followed_from_a_place() {
    let site = Site::new();
    let server = site.server().await;
    for n in 0..7 {
        create(&server, &format!("k{n}")).await;
    }
    let first = server.logs(None, None, Some(5)).await.unwrap();
    let second = server
        .logs(None, first.next_cursor.as_deref(), Some(5))
        .await
        .unwrap();
    assert!(second.next_cursor.is_none());
    let sequences: Vec<_> = first
        .events
        .iter()
        .chain(&second.events)
        .map(|event| event.sequence.unwrap())
        .collect();
    // The store's creation, the keys that sign sessions and lists of revocations, and seven more.
    assert_eq!(sequences, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(server.last_record().await.unwrap(), 10);
    assert_eq!(server.logs_after(8).await.unwrap().len(), 2);
    for cursor in ["x", "-1", "1 OR 1"] {
        assert!(server.logs(None, Some(cursor), None).await.is_err());
    }
    for limit in [0, 1_001] {
        assert!(server.logs(None, None, Some(limit)).await.is_err());
    }
}
