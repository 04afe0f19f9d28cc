//! How often a key may be used, over a real store.

mod support;

use sealgate_core::authority::Created;
use sealgate_core::error::{Error, Reason};
use sealgate_core::request::KeyRequest;
use serde_json::json;
use support::{Site, create, operator, present, reason, request};

#[tokio::test]
async fn a_limit_and_its_window_are_changed_together_or_the_one_alone() {
    let site = Site::new();
    let server = site.server().await;
    let id = create(&server, "k").await.record.id.to_string();
    let patch = async |fields: serde_json::Value| {
        let patch = serde_json::from_value(fields).unwrap();
        let key = server.update(&id, patch, &operator()).await?.rate_limit;
        Ok::<_, Error>(key.map(|limit| (limit.requests(), limit.window_seconds())))
    };
    for (fields, limit) in [
        (json!({"rate_limit": 5}), Some((5, 3_600))),
        (json!({"rate_limit_window_seconds": 60}), Some((5, 60))),
        (json!({"rate_limit": 7}), Some((7, 60))),
        (json!({"name": "other"}), Some((7, 60))),
        (
            json!({"rate_limit": 8, "rate_limit_window_seconds": 2_592_000}),
            Some((8, 2_592_000)),
        ),
        (json!({"rate_limit_window_seconds": null}), Some((8, 3_600))),
        (json!({"rate_limit_window_seconds": 1}), Some((8, 1))),
        (json!({"rate_limit": null}), None),
        (
            json!({"rate_limit": null, "rate_limit_window_seconds": null}),
            None,
        ),
        (json!({"rate_limit": 9}), Some((9, 3_600))),
    ] {
        assert_eq!(patch(fields.clone()).await.unwrap(), limit, "{fields}");
    }
    patch(json!({"rate_limit": null})).await.unwrap();
    for (fields, field) in [
        (
            json!({"rate_limit_window_seconds": 60}),
            "rate_limit_window_seconds",
        ),
        (
            json!({"rate_limit": null, "rate_limit_window_seconds": 60}),
            "rate_limit_window_seconds",
        ),
        (
            json!({"rate_limit": 1, "rate_limit_window_seconds": 0}),
            "rate_limit_window_seconds",
        ),
        (
            json!({"rate_limit": 1, "rate_limit_window_seconds": 2_592_001}),
            "rate_limit_window_seconds",
        ),
        (json!({"rate_limit": 0}), "rate_limit"),
    ] {
        match patch(fields.clone()).await {
            Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field, "{fields}"),
            other => panic!("{fields}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_rotation_with_a_grace_does_not_double_a_limit() {
    let site = Site::new();
    let server = site.server().await;
    let request = KeyRequest {
        rate_limit: Some(4),
        rate_limit_window_seconds: Some(60),
        ..request("slow")
    };
    let first = server.create(request, &operator()).await.unwrap();
    let left = async |key: &Created| {
        let identity = present(&server, key).await;
        identity.map(|identity| identity.allowance().unwrap().remaining)
    };
    assert_eq!(left(&first).await.unwrap(), 3);
    let id = first.record.id.to_string();
    let rotated = server.rotate(&id, 3_600, None, &operator()).await.unwrap();
    assert_eq!(left(&rotated.new).await.unwrap(), 2);
    assert_eq!(left(&first).await.unwrap(), 1);
    assert_eq!(left(&rotated.new).await.unwrap(), 0);
    for key in [&first, &rotated.new] {
        assert!(matches!(
            reason(left(key).await),
            Reason::RateLimited { .. }
        ));
    }
}
