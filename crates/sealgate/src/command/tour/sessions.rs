//! Users and sealed sessions, as the guide of the seal key goes through them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::client::{Ask, Credential};
use super::keys::{Keys, get, post, send, text};
use super::stage::Stage;
use crate::exit::{Failure, Outcome};

/// The user of the tour, and a password that is worth nothing outside of it.
const USERNAME: &str = "ada";
const PASSWORD: &str = "correct horse battery staple";

/// Logs a user in under a key of the client's, under none, and under a managed key; ends each.
///
/// # Errors
/// Names the step that failed.
pub async fn tour(stage: &mut Stage, keys: &Keys) -> Outcome {
    stage.section("Users log in, and their data is sealed under the client's key")?;
    let made = stage
        .run_with_input(
            "A user",
            &[
                "user",
                "add",
                "--username",
                USERNAME,
                "--display-name",
                "Ada Lovelace",
                "--role",
                "student",
                "--password-stdin",
            ],
            PASSWORD,
        )
        .await?;
    stage.check(made["username"] == USERNAME, "the user is ada")?;
    own_key(stage).await?;
    no_key(stage).await?;
    managed_key(stage, keys).await
}

/// The guide's flow: a key, a login, the profile; a wrong key, no key; a logout.
async fn own_key(stage: &mut Stage) -> Outcome {
    let key = generate(stage, "A key to seal with").await?;
    stage.check(key.starts_with("gml_"), "it is a timestamped key")?;

    let token = log_in(stage, "A login under it", Some(&key)).await?;
    show_layers(stage, &token)?;
    let profile = ask_profile(stage, "The profile, with the same key", &token, Some(&key)).await?;
    stage.check(
        profile["data"]["display_name"] == "Ada Lovelace",
        "what was sealed is opened",
    )?;
    other_keys(stage, &token).await?;
    log_out(stage, &token, &key).await
}

/// Makes a seal key.
async fn generate(stage: &mut Stage, title: &str) -> Outcome<String> {
    let ask = post("/api/key/generate", Credential::Nothing);
    let generated = stage.ask(title, &ask, StatusCode::OK).await?;
    text(&generated, "api_key")
}

/// Shows that a token opens with no other key than that of its login.
async fn other_keys(stage: &mut Stage, token: &str) -> Outcome {
    let other = generate(stage, "Another key").await?;
    for (title, key) in [
        ("The token is worth nothing with it", Some(other.as_str())),
        ("Nor with none, which is the default key", None),
    ] {
        let ask = profile_of(token, key);
        let refused = stage
            .ask(title, &ask, StatusCode::INTERNAL_SERVER_ERROR)
            .await?;
        stage.check(
            refused["message"] == "Failed to decrypt data with API key",
            "the message is the documented one",
        )?;
    }
    Ok(())
}

async fn log_out(stage: &mut Stage, token: &str, key: &str) -> Outcome {
    let ask = post("/api/auth/logout", session(token, Some(key)));
    stage.ask("A logout", &ask, StatusCode::OK).await?;
    let ask = profile_of(token, Some(key));
    stage
        .ask("The token is dead", &ask, StatusCode::UNAUTHORIZED)
        .await?;
    Ok(())
}

/// Applications that do not send a key yet.
async fn no_key(stage: &mut Stage) -> Outcome {
    stage.section("Applications that send no key yet go on as they are")?;
    let token = log_in(stage, "A login without a key", None).await?;
    ask_profile(stage, "The profile, without a key", &token, None).await?;
    stage
        .run(
            "All of the user's sessions are ended at the command line",
            &["user", "logout", "--username", USERNAME],
        )
        .await?;
    stage
        .ask_until_refused(
            "The running server knows within a second",
            &profile_of(&token, None),
        )
        .await
}

/// A key that an administrator made seals too, and its end is the session's.
async fn managed_key(stage: &mut Stage, keys: &Keys) -> Outcome {
    stage.section("A managed key seals sessions, and takes them with it")?;
    let request = json!({"name": "Web application", "permissions": "session:seal"});
    let made = stage
        .ask(
            "A key that may seal",
            &send("/api/auth/keys", Credential::Key(&keys.admin), &request),
            StatusCode::CREATED,
        )
        .await?;
    let (key, id) = (text(&made, "api_key")?, text(&made["key"], "key_id")?);
    let token = log_in(stage, "A login under it", Some(&key)).await?;
    ask_profile(stage, "The profile, with the same key", &token, Some(&key)).await?;
    stage
        .run("The key is revoked", &["revoke", "--id", &id, "--force"])
        .await?;
    stage
        .ask_until_refused(
            "The session is over within a second",
            &profile_of(&token, Some(&key)),
        )
        .await
}

/// Logs the user in; gives the token.
async fn log_in(stage: &mut Stage, title: &str, seal_key: Option<&str>) -> Outcome<String> {
    let credential = seal_key.map_or(Credential::Nothing, Credential::SealKey);
    let body = json!({"username": USERNAME, "password": PASSWORD});
    let answer = stage
        .ask(
            title,
            &send("/api/auth/login", credential, &body),
            StatusCode::OK,
        )
        .await?;
    stage.check(answer["data"]["username"] == USERNAME, "it is ada's")?;
    text(&answer["data"], "token")
}

async fn ask_profile(
    stage: &mut Stage,
    title: &str,
    token: &str,
    seal_key: Option<&str>,
) -> Outcome<Value> {
    let ask = profile_of(token, seal_key);
    let profile = stage.ask(title, &ask, StatusCode::OK).await?;
    stage.check(
        profile["data"]["username"] == USERNAME,
        "the profile is ada's",
    )?;
    Ok(profile)
}

/// Shows what a token says to whoever holds it without the key.
fn show_layers(stage: &mut Stage, token: &str) -> Outcome {
    let claims = claims(token)
        .ok_or_else(|| Failure::new("the token is no v4.public token with claims in it"))?;
    let read = "cut -d. -f3 <<<\"$TOKEN\" | basenc --decode --base64url | head -c -64";
    stage.observe("What the token says without the key", read, &claims)?;
    stage.check(
        claims["aud"] == "gomaluum" && claims["sub"] == USERNAME,
        "it names whom it is for and whose it is",
    )?;
    stage.check(
        claims["data"]
            .as_str()
            .is_some_and(|data| data.starts_with("v4.local.")),
        "the user's data is sealed",
    )?;
    let shown = claims.to_string();
    stage.check(
        !shown.contains("Lovelace") && !shown.contains("student"),
        "nothing of it shows",
    )
}

/// The claims of a `v4.public` token: a signature of 64 bytes follows them.
fn claims(token: &str) -> Option<Value> {
    let payload = token.strip_prefix("v4.public.")?.split('.').next()?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let (claims, _signature) = bytes.split_at_checked(bytes.len().checked_sub(64)?)?;
    serde_json::from_slice(claims).ok()
}

fn session<'a>(token: &'a str, seal_key: Option<&'a str>) -> Credential<'a> {
    Credential::Session { token, seal_key }
}

fn profile_of<'a>(token: &'a str, seal_key: Option<&'a str>) -> Ask<'a> {
    get("/api/profile", session(token, seal_key))
}
