//! What to do when a key has leaked, as the authentication guide lists it.

use hyper::StatusCode;

use super::client::Credential;
use super::keys::{Keys, get, text};
use super::stage::Stage;
use crate::exit::Outcome;

/// Revokes a key at the command line while the server runs, replaces it, and looks at what it did.
///
/// # Errors
/// Names the step that failed.
pub async fn tour(stage: &mut Stage, keys: &Keys) -> Outcome {
    stage.section("A key has leaked")?;
    let (leaked, id) = &keys.production;
    let reason = ["--reason", "found in a public repository", "--force"];
    let revoke = [&["revoke", "--id", id], &reason[..]].concat();
    stage.run("Revoke it", &revoke).await?;
    let ask = get("/api/encrypt", Credential::Key(leaked));
    stage
        .ask_until_refused("The running server knows within a second", &ask)
        .await?;

    let name = "Replacement for compromised key";
    let permissions = "api:read api:write";
    let created = stage
        .run(
            "Replace it",
            &["create", "--name", name, "--permissions", permissions],
        )
        .await?;
    let replacement = text(&created, "api_key")?;
    stage
        .ask(
            "The replacement works",
            &get("/api/encrypt", Credential::Key(&replacement)),
            StatusCode::OK,
        )
        .await?;

    let logs = stage
        .run(
            "Look at what the key was used for",
            &["logs", "--id", id, "--limit", "5"],
        )
        .await?;
    let events = logs["events"].as_array().cloned().unwrap_or_default();
    stage.check(
        events.iter().any(|event| event["action"] == "key.revoked"),
        "the log tells of the revocation",
    )?;
    let verified = stage
        .run(
            "And prove that nobody altered the log",
            &["logs", "--verify"],
        )
        .await?;
    stage.check(verified["whole"] == true, "the log is whole")
}
