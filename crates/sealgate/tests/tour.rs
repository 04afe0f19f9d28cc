//! `sealgate tour`.

use crate::support::{Home, Ran};

#[test]
fn it_shows_each_step_and_ends_well() {
    let home = Home::new();
    // Neither settings nor environment count.
    home.write("sealgate.toml", "nonsense");
    let mut command = home.command(&["tour"]);
    let ran = Ran::of(
        command
            .env("SEALGATE_ENVIRONMENT", "testing")
            .env("TMPDIR", home.path()),
    );
    let ran = ran.success();
    for shown in [
        "$ sealgate create --name \"Production API Key\" --permissions \"api:read api:write\"",
        "/api/encrypt -H \"X-API-Key: ",
        "/api/auth/token -H \"X-API-Key: ",
        "/api/encrypt -H \"Authorization: Bearer ",
        "/api/auth/token/renew",
        "$ sealgate user add --username ada",
        "/api/key/generate",
        "/api/auth/login -H \"x-gomaluum-key: gml_",
        "/api/profile -H \"Authorization: Bearer v4.public.",
        "Failed to decrypt data with API key",
        "$ sealgate user logout --username ada",
        "$ sealgate revoke --id",
        "$ sealgate logs --id",
        "steps came out as they should",
    ] {
        assert!(
            ran.stdout.contains(shown),
            "{shown} is not in {}",
            ran.stdout
        );
    }
    assert_eq!(ran.stderr, "");
    assert!(!home.data_dir().exists());
    let left = std::fs::read_dir(home.path()).expect("a directory");
    assert_eq!(left.count(), 1, "nothing is left behind");
}

#[test]
fn it_shows_no_whole_secret() {
    let ran = Home::new().run(&["tour"]).success();
    let words = ran
        .stdout
        .split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    for word in words {
        let is_key = word.len() == 50 && word.as_bytes()[8] == b'.';
        assert!(
            !is_key && word.matches('.').count() < 2 || word.len() < 40,
            "{word}"
        );
    }
}

#[test]
fn it_can_be_read_by_programs() {
    let tour = Home::new().json(&["tour"]);
    assert_eq!(tour["passed"], true);
    let steps = tour["steps"].as_array().expect("steps");
    assert!(steps.len() > 20);
    assert!(steps.iter().any(|step| step["status"] == 401));
    assert!(steps.iter().any(|step| step["status"] == 500));
}
