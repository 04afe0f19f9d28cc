//! `sealgate doctor`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::support::{Home, Ran};

/// How bad each check was found, and what was said.
fn examine(
    home: &Home,
    adjust: impl FnOnce(&mut Command),
) -> (Option<i32>, Vec<(String, String, String)>) {
    let mut command = home.command(&["doctor", "--json"]);
    adjust(&mut command);
    let ran = Ran::of(&mut command);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let findings = ran.json()["findings"].as_array().expect("findings").clone();
    let findings = findings.iter().map(|found| {
        (
            text(&found["check"]),
            text(&found["level"]),
            text(&found["message"]),
        )
    });
    (ran.code, findings.collect())
}

#[track_caller]
fn assert_found(
    home: &Home,
    adjust: impl FnOnce(&mut Command),
    check: &str,
    level: &str,
    says: &str,
) {
    let (code, findings) = examine(home, adjust);
    let found = findings
        .iter()
        .any(|(name, found, message)| name == check && found == level && message.contains(says));
    assert!(found, "{check} {level} {says:?} is not in {findings:#?}");
    let failed = findings.iter().any(|(_, level, _)| level == "fail");
    assert_eq!(code, Some(i32::from(failed)));
}

#[test]
fn a_sound_deployment_has_nothing_to_mend() {
    let home = Home::new();
    home.create_key(&["--name", "Admin", "--admin", "--expires-in-days", "30"]);
    let (code, findings) = examine(&home, |command| {
        command
            .env("SEALGATE_SECURITY_CONTACT", "mailto:security@example.com")
            .env("SEALGATE_SESSIONS_REQUIRE_KEY", "true");
    });
    assert_eq!(code, Some(0));
    for (check, level, message) in findings {
        // How full the disk is, is not up to the test.
        assert!(level == "ok" || check == "disk space", "{check}: {message}");
    }
}

#[test]
fn before_there_is_a_store_it_warns_and_makes_none() {
    let home = Home::new();
    assert_found(&home, |_| (), "database", "warn", "there is no store at");
    assert!(!home.data_dir().exists());
}

#[test]
fn it_finds_what_is_unsafe() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    for (check, level, says) in [
        ("administrators", "warn", "--admin"),
        ("expiry", "warn", "1 active key never expires"),
        ("contact", "warn", "security.contact"),
        ("master key", "ok", "beside the store"),
        ("store", "ok", "sqlite 3."),
        ("audit log", "ok", "2 records, chain whole"),
        ("seal key", "warn", "x-gomaluum-key"),
        ("wrong seal key", "ok", "500"),
        ("signing key", "ok", "none yet"),
        ("users", "ok", "sealgate user add"),
    ] {
        assert_found(&home, |_| (), check, level, says);
    }
    home.run(&["signing-key", "rotate"]).success();
    assert_found(&home, |_| (), "signing key", "ok", "k4.pid.");
}

#[test]
fn it_finds_settings_that_are_unsafe() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    for (name, value, check, level, says) in [
        ("LISTEN", "0.0.0.0:80", "address", "warn", "in the clear"),
        ("CORS_ORIGINS", "*", "CORS", "warn", "every web page"),
        (
            "SESSIONS_DEFAULT_KEY",
            "our own default",
            "seal key",
            "ok",
            "of your own",
        ),
        ("PASSWORDS_MEMORY_KIB", "4096", "passwords", "warn", "OWASP"),
        ("LISTNE", "x", "environment", "warn", "SEALGATE_LISTNE"),
    ] {
        let set = |command: &mut Command| {
            command.env(format!("SEALGATE_{name}"), value);
        };
        assert_found(&home, set, check, level, says);
    }
}

#[test]
fn it_fails_for_what_does_not_work() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let pem = home.write("x.pem", "nonsense");
    let tls = |command: &mut Command| {
        command
            .env("SEALGATE_TLS_CERT", &pem)
            .env("SEALGATE_TLS_KEY", &pem);
    };
    assert_found(&home, tls, "TLS", "fail", "x.pem");

    let chmod = |path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("the mode is set");
    };
    chmod(home.data_dir(), 0o777);
    assert_found(&home, |_| (), "data directory", "fail", "chmod 700");
    chmod(home.data_dir(), 0o755);
    assert_found(&home, |_| (), "data directory", "warn", "chmod 700");
    chmod(home.database(), 0o644);
    assert_found(&home, |_| (), "database", "fail", "chmod 600");
    chmod(home.master_key(), 0o644);
    assert_found(&home, |_| (), "master key", "fail", "chmod 600");
    fs::remove_file(home.master_key()).expect("it is there");
    assert_found(&home, |_| (), "master key", "fail", "is missing");
    assert_found(&home, |_| (), "store", "fail", "is missing");
}

#[test]
fn it_says_when_the_certificate_expires() {
    let home = Home::new();
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.not_after = rcgen::date_time_ymd(2020, 1, 31);
    let cert = params.self_signed(&key).expect("a certificate");
    let cert = home.write("cert.pem", &cert.pem());
    let key = home.write("key.pem", &key.serialize_pem());
    let tls = |command: &mut Command| {
        command
            .env("SEALGATE_TLS_CERT", &cert)
            .env("SEALGATE_TLS_KEY", &key);
    };
    assert_found(&home, tls, "TLS", "warn", "is open to other accounts");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("the mode is set");
    assert_found(&home, tls, "TLS", "fail", "expired on 2020-01-31");
}

#[test]
fn one_line_each_and_quiet_leaves_out_what_is_well() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let ran = home.run(&["doctor"]).success();
    assert!(
        ran.stdout
            .lines()
            .all(|line| line.starts_with("ok  ") || line.starts_with("warn"))
    );
    assert!(ran.stderr.contains("0 failures, "), "{}", ran.stderr);
    let ran = home.run(&["doctor", "--quiet"]).success();
    assert!(
        ran.stdout.lines().all(|line| line.starts_with("warn")),
        "{}",
        ran.stdout
    );
}
