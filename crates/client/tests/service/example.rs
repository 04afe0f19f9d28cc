//! The example of the documentation, as it stands, against a server.

use std::path::Path;

use sealgate_client::ManagedKey;
use sealgate_token::jwt::Algorithm;

use crate::support::{SEAL_KEY, Service, real_time, settings};

#[path = "../../examples/service.rs"]
#[expect(dead_code, reason = "its main function is for a terminal")]
mod service;

#[tokio::test]
async fn the_example_shows_who_calls_and_calls_itself_with_a_token() {
    let server = real_time(settings(Algorithm::EdDsa)).await;
    let key = server.key("api:read").await;
    let service = Service::start(service::protected(server.sealgate()).unwrap()).await;
    let own = ManagedKey::new(key.text.clone()).unwrap();
    let client = service::client(server.sealgate(), own);
    let call = |path| service::call(client.clone(), service.address, path);
    let as_token = format!("200 token: {}", key.id);
    assert_eq!(call("/me").await.unwrap(), as_token);
    assert!(call("/orders").await.unwrap().starts_with("403 "));
    assert_eq!(server.wire().count("/api/auth/token"), 1);

    let told = service.get("/me").key(&key.text).send().await;
    assert_eq!(told.body, format!("key: {}", key.id));
    let orders = server.key("api:read orders:*").await;
    let told = service.get("/orders").key(&orders.text).send().await;
    assert_eq!(told.body, "no orders today");
    let session = server.session("ada", Some(SEAL_KEY)).await;
    let told = service.get("/me").token(&session).seal_key(SEAL_KEY);
    assert_eq!(told.send().await.body, "session: ada");
    assert_eq!(service.get("/me").status().await, 401);
}

/// Rust on the page is a part of the example, so that it compiles and is tested.
#[test]
fn what_the_page_shows_is_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (page, example) = (read("../../docs/client.md"), read("examples/service.rs"));
    let blocks: Vec<&str> = page
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 3, "the page has no code");
    for block in blocks {
        assert!(example.contains(block), "not in the example:\n{block}");
    }
}
