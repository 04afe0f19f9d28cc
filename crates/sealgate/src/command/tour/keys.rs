//! Managed keys and access tokens, as the authentication guide goes through them.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Ask, Credential};
use super::stage::Stage;
use crate::exit::{Failure, Outcome};

/// What the next section goes on with.
pub struct Keys {
    /// An administrator's key.
    pub admin: String,
    /// The key in use, and its identifier.
    pub production: (String, String),
}

/// Makes keys, exchanges one for a token, uses, renews, seals; then manages keys over HTTP.
///
/// # Errors
/// Names the step that failed.
pub async fn tour(stage: &mut Stage) -> Outcome<Keys> {
    stage.section("Keys are made at the command line")?;
    let admin = stage
        .run(
            "An administrator's key",
            &["create", "--name", "Admin", "--admin"],
        )
        .await?;
    let created = stage
        .run(
            "A key for an application",
            &[
                "create",
                "--name",
                "Production API Key",
                "--permissions",
                "api:read api:write",
            ],
        )
        .await?;
    let listed = stage.run("All keys", &["list"]).await?;
    stage.check(
        listed["keys"]
            .as_array()
            .is_some_and(|keys| keys.len() == 2),
        "two keys are listed",
    )?;
    let keys = Keys {
        admin: text(&admin, "api_key")?,
        production: (text(&created, "api_key")?, text(&created["key"], "key_id")?),
    };

    let sealed = use_api(stage, &keys).await?;
    let successor = manage(stage, &keys, &sealed).await?;
    Ok(Keys {
        production: successor,
        ..keys
    })
}

/// The key, then a token in its place. Gives something that was sealed.
async fn use_api(stage: &mut Stage, keys: &Keys) -> Outcome<String> {
    stage.section("A key opens the API, and is exchanged for a token")?;
    let key = Credential::Key(&keys.production.0);
    stage
        .ask("The key itself", &get("/api/encrypt", key), StatusCode::OK)
        .await?;
    let issued = stage
        .ask(
            "A token for the key",
            &post("/api/auth/token", key),
            StatusCode::OK,
        )
        .await?;
    stage.check(
        issued["expires_in"] == 3_600,
        "the token is good for an hour",
    )?;
    stage.check(issued["token_type"] == "Bearer", "it is a bearer token")?;
    stage.check(issued["key_id"] == *keys.production.1, "it names its key")?;

    let token = text(&issued, "token")?;
    let bearer = Credential::Token(&token);
    stage
        .ask(
            "The token in the key's place",
            &get("/api/encrypt", bearer),
            StatusCode::OK,
        )
        .await?;
    let renewed = stage
        .ask(
            "A later token, before this one expires",
            &post("/api/auth/token/renew", bearer),
            StatusCode::OK,
        )
        .await?;
    let token = text(&renewed, "token")?;
    let bearer = Credential::Token(&token);

    let plaintext = json!({"plaintext": "attack at dawn"});
    let sealed = stage
        .ask(
            "Something to be kept is sealed",
            &send("/api/encrypt", bearer, &plaintext),
            StatusCode::OK,
        )
        .await?;
    let ciphertext = text(&sealed, "ciphertext")?;
    let opened = stage
        .ask(
            "And opened again",
            &open(bearer, &ciphertext),
            StatusCode::OK,
        )
        .await?;
    stage.check(
        opened["plaintext"] == "attack at dawn",
        "what was sealed is opened",
    )?;
    Ok(ciphertext)
}

/// Keys over HTTP. Gives the key that has replaced the one in use.
async fn manage(stage: &mut Stage, keys: &Keys, sealed: &str) -> Outcome<(String, String)> {
    stage.section("Administrators manage keys over HTTP")?;
    let admin = Credential::Key(&keys.admin);
    stage
        .ask(
            "All keys",
            &get("/api/auth/keys?limit=10", admin),
            StatusCode::OK,
        )
        .await?;
    let request = json!({"name": "Reports", "permissions": "api:read", "expires_in_days": 30});
    let reports = stage
        .ask(
            "Another key",
            &send("/api/auth/keys", admin, &request),
            StatusCode::CREATED,
        )
        .await?;
    let reports_key = text(&reports, "api_key")?;
    let seal = send(
        "/api/encrypt",
        Credential::Key(&reports_key),
        &json!({"plaintext": "x"}),
    );
    stage
        .ask("It may read, and not write", &seal, StatusCode::FORBIDDEN)
        .await?;

    let path = format!("/api/auth/keys/{}/rotate", keys.production.1);
    let rotated = stage
        .ask(
            "The application's key is replaced; the old one works for a minute more",
            &send(&path, admin, &json!({"grace_seconds": 60})),
            StatusCode::OK,
        )
        .await?;
    let successor = (
        text(&rotated, "api_key")?,
        text(&rotated["new_key"], "key_id")?,
    );
    stage
        .ask(
            "The old key, in its grace",
            &get("/api/encrypt", Credential::Key(&keys.production.0)),
            StatusCode::OK,
        )
        .await?;
    let opened = stage
        .ask(
            "The new key opens what the old one sealed",
            &open(Credential::Key(&successor.0), sealed),
            StatusCode::OK,
        )
        .await?;
    stage.check(
        opened["plaintext"] == "attack at dawn",
        "what was sealed is opened",
    )?;

    let path = format!("/api/auth/keys/{}/revoke", text(&reports["key"], "key_id")?);
    stage
        .ask(
            "A key is revoked",
            &send(&path, admin, &json!({"reason": "no longer needed"})),
            StatusCode::OK,
        )
        .await?;
    stage
        .ask(
            "It is refused from now on",
            &get("/api/encrypt", Credential::Key(&reports_key)),
            StatusCode::UNAUTHORIZED,
        )
        .await?;
    Ok(successor)
}

/// A text field of an answer.
///
/// # Errors
/// If it is not there.
pub fn text(answer: &Value, field: &str) -> Outcome<String> {
    answer[field]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("the answer has no field `{field}`")))
}

/// A request that reads.
pub fn get<'a>(path: &str, credential: Credential<'a>) -> Ask<'a> {
    Ask {
        method: Method::GET,
        path: path.to_owned(),
        credential,
        body: None,
    }
}

/// A request that does something.
pub fn post<'a>(path: &str, credential: Credential<'a>) -> Ask<'a> {
    Ask {
        method: Method::POST,
        ..get(path, credential)
    }
}

/// A request with a body.
pub fn send<'a>(path: &str, credential: Credential<'a>, body: &Value) -> Ask<'a> {
    Ask {
        body: Some(body.clone()),
        ..post(path, credential)
    }
}

fn open<'a>(credential: Credential<'a>, ciphertext: &str) -> Ask<'a> {
    send(
        "/api/decrypt",
        credential,
        &json!({"ciphertext": ciphertext}),
    )
}
