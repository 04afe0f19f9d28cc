//! Users' sessions: log in, see one's data, renew, log out.

use serde_json::json;

use crate::support::{World, get, post};

const MESSAGE: &str =
    "Login successful! Please use the token in the Authorization header for future requests.";

#[tokio::test]
async fn a_user_logs_in_and_sees_the_data_with_the_same_seal_key() {
    let world = World::new().await;
    world.user("ada", "correct horse battery").await;
    let key = post("/api/key/generate").send(&world).await.ok();
    let key = key["api_key"].as_str().unwrap();
    let answer = post("/api/auth/login")
        .seal_key(key)
        .json(&json!({"username": "ada", "password": "correct horse battery"}))
        .send(&world)
        .await;
    let body = answer.ok();
    assert_eq!(body["message"], MESSAGE);
    assert_eq!(body["data"]["username"], "ada");
    let token = body["data"]["token"].as_str().unwrap();
    assert!(token.starts_with("v4.public.eyJhdWQiOiJnb21hbHV1bSIs"));
    assert_eq!(answer.headers["cache-control"], "no-store");

    let answer = get("/api/profile")
        .token(token)
        .seal_key(key)
        .send(&world)
        .await;
    assert_eq!(
        answer.ok(),
        json!({
            "message": "Profile retrieved successfully",
            "data": {
                "username": "ada",
                "display_name": null,
                "email": null,
                "roles": [],
                "attributes": {},
            },
        })
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["vary"], "authorization, x-gomaluum-key");
    assert_eq!(answer.headers["content-type"], "application/json");
}
