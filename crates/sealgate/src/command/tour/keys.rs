//! Managed keys and access tokens, as the authentication guide goes through them.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Ask, Credential};
use super::stage::Stage;
use crate::exit::{Failure, Outcome};

/// What is sealed.
const PLAINTEXT: &str = "attack at dawn";

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
    let ask = get("/api/encrypt", key);
    stage.ask("The key itself", &ask, StatusCode::OK).await?;
    let ask = post("/api/auth/token", key);
    let issued = stage
        .ask("A token for the key", &ask, StatusCode::OK)
        .await?;
    let hour = issued["expires_in"] == 3_600;
    stage.check(hour, "the token is good for an hour")?;
    stage.check(issued["token_type"] == "Bearer", "it is a bearer token")?;
    stage.check(issued["key_id"] == *keys.production.1, "it names its key")?;

    let token = text(&issued, "token")?;
    let bearer = Credential::Token(&token);
    let ask = get("/api/encrypt", bearer);
    stage
        .ask("The token in the key's place", &ask, StatusCode::OK)
        .await?;
    let (title, ask) = (
        "A later token, before this one expires",
        post("/api/auth/token/renew", bearer),
    );
    let renewed = stage.ask(title, &ask, StatusCode::OK).await?;
    let token = text(&renewed, "token")?;
    seal(stage, Credential::Token(&token)).await
}

/// Seals something, and opens it again. Gives what was sealed.
async fn seal(stage: &mut Stage, bearer: Credential<'_>) -> Outcome<String> {
    let ask = send("/api/encrypt", bearer, &json!({"plaintext": PLAINTEXT}));
    let sealed = stage
        .ask("Something to be kept is sealed", &ask, StatusCode::OK)
        .await?;
    let ciphertext = text(&sealed, "ciphertext")?;
    open(stage, "And opened again", bearer, &ciphertext).await?;
    Ok(ciphertext)
}

async fn open(
    stage: &mut Stage,
    title: &str,
    credential: Credential<'_>,
    ciphertext: &str,
) -> Outcome {
    let body = json!({"ciphertext": ciphertext});
    let ask = send("/api/decrypt", credential, &body);
    let opened = stage.ask(title, &ask, StatusCode::OK).await?;
    let is_same = opened["plaintext"] == PLAINTEXT;
    stage.check(is_same, "what was sealed is opened")
}

/// Keys over HTTP. Gives the key that has replaced the one in use.
async fn manage(stage: &mut Stage, keys: &Keys, sealed: &str) -> Outcome<(String, String)> {
    stage.section("Administrators manage keys over HTTP")?;
    let admin = Credential::Key(&keys.admin);
    let ask = get("/api/auth/keys?limit=10", admin);
    stage.ask("All keys", &ask, StatusCode::OK).await?;
    let (reader, reader_id) = make_reader(stage, admin).await?;
    let successor = replace(stage, keys, sealed).await?;

    let path = format!("/api/auth/keys/{reader_id}/revoke");
    let ask = send(&path, admin, &json!({"reason": "no longer needed"}));
    stage.ask("A key is revoked", &ask, StatusCode::OK).await?;
    let ask = get("/api/encrypt", Credential::Key(&reader));
    stage
        .ask("It is refused from now on", &ask, StatusCode::UNAUTHORIZED)
        .await?;
    Ok(successor)
}

/// Makes a key that may read and does try to write. Gives it and its identifier.
async fn make_reader(stage: &mut Stage, admin: Credential<'_>) -> Outcome<(String, String)> {
    let request = json!({"name": "Reports", "permissions": "api:read", "expires_in_days": 30});
    let ask = send("/api/auth/keys", admin, &request);
    let made = stage.ask("Another key", &ask, StatusCode::CREATED).await?;
    let key = text(&made, "api_key")?;
    let body = json!({"plaintext": "x"});
    let ask = send("/api/encrypt", Credential::Key(&key), &body);
    stage
        .ask("It may read, and not write", &ask, StatusCode::FORBIDDEN)
        .await?;
    Ok((key, text(&made["key"], "key_id")?))
}

/// Replaces the key in use, which opens what the old one sealed. Gives it and its identifier.
async fn replace(stage: &mut Stage, keys: &Keys, sealed: &str) -> Outcome<(String, String)> {
    let (old, id) = &keys.production;
    let path = format!("/api/auth/keys/{id}/rotate");
    let body = json!({"grace_seconds": 60});
    let (title, ask) = (
        "The application's key is replaced; the old one works for a minute more",
        send(&path, Credential::Key(&keys.admin), &body),
    );
    let rotated = stage.ask(title, &ask, StatusCode::OK).await?;
    let key = text(&rotated, "api_key")?;
    let ask = get("/api/encrypt", Credential::Key(old));
    stage
        .ask("The old key, in its grace", &ask, StatusCode::OK)
        .await?;
    let title = "The new key opens what the old one sealed";
    open(stage, title, Credential::Key(&key), sealed).await?;
    Ok((key, text(&rotated["new_key"], "key_id")?))
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
