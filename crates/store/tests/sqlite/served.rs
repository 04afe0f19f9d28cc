//! A server over a store that was damaged, tampered with or put back to an earlier state under it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sealgate_core::audit::BadChain;
use sealgate_core::authority::{
    Authority, Caller, Created, Credential, Identity, KeyFilter, Settings,
};
use sealgate_core::clock::ManualClock;
use sealgate_core::error::{Error, Reason};
use sealgate_core::key::{KeyId, Status};
use sealgate_core::random::SystemRandom;
use sealgate_core::request::KeyRequest;
use sealgate_core::store::Change;

use crate::conformance::records::revoked_token;
use crate::conformance::{BIRTH, master};
use crate::{Place, commit};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn one_damaged_key_is_refused_and_the_others_work_on() {
    let place = Place::new();
    let server = server(&place).await;
    let (good, bad) = (create(&server, "good").await, create(&server, "bad").await);
    damage(&place, &bad).await;
    server.sync().await.unwrap();
    assert!(present(&server, &good).await.is_ok());
    assert_eq!(
        refusal(present(&server, &bad).await),
        Reason::KeyIs(Status::Active)
    );
    assert_eq!(
        refusal(bear(&server, &bad).await),
        Reason::KeyIs(Status::Active)
    );

    let (listed, next) = server.list(&KeyFilter::default()).await.unwrap();
    let names: Vec<&str> = listed.iter().map(|key| key.name.as_str()).collect();
    assert_eq!((names.as_slice(), next), (["good"].as_slice(), None));
    assert!(server.key(&bad.record.id.to_string()).await.is_err());
}

#[tokio::test]
async fn a_server_starts_over_a_damaged_key_and_refuses_it() {
    let place = Place::new();
    let before = server(&place).await;
    let (good, bad) = (create(&before, "good").await, create(&before, "bad").await);
    damage(&place, &bad).await;
    let server = server(&place).await;
    assert!(server.is_loaded());
    assert!(present(&server, &good).await.is_ok());
    assert_eq!(refusal(present(&server, &bad).await), Reason::UnknownKey);
    assert_eq!(refusal(bear(&server, &bad).await), Reason::UnknownKey);
}

#[tokio::test]
async fn a_key_whose_row_was_repaired_is_honoured_again() {
    let place = Place::new();
    let server = server(&place).await;
    let key = create(&server, "k").await;
    damage(&place, &key).await;
    server.sync().await.unwrap();
    assert!(present(&server, &key).await.is_err());
    alter(&place, key.record.id, "description = '', is_admin = 0").await;
    server.sync().await.unwrap();
    assert!(present(&server, &key).await.is_ok());
}

#[tokio::test]
async fn an_expired_key_that_is_damaged_keeps_no_other_from_being_recorded() {
    let place = Place::new();
    let (server, clock) = process(&place).await;
    let request = |name: &str| KeyRequest {
        expires_in_days: Some(1),
        ..request(name)
    };
    let mut created = Vec::new();
    for name in ["bad", "good"] {
        created.push(server.create(request(name), &tester()).await.unwrap());
    }
    damage(&place, &created[0]).await;
    clock.advance_millis(2 * 86_400_000);
    server.record_expiries().await.unwrap();
    let good = server.key(&created[1].record.id.to_string()).await.unwrap();
    assert_eq!(good.state.status(), Status::Expired);
}

#[tokio::test]
async fn a_store_put_back_under_a_server_takes_back_what_came_after() {
    let place = Place::new();
    let server = server(&place).await;
    let kept = create(&server, "kept").await;
    let revoked_later = create(&server, "revoked later").await;
    let backup = place.0.path().join("backup.db");
    place
        .tamper(&format!("VACUUM INTO '{}'", backup.display()))
        .await;

    // What is made now has versions that the restored store will never have seen.
    let id = kept.record.id.to_string();
    for is_active in [false, true] {
        let patch = sealgate_core::request::KeyPatch {
            is_active: Some(is_active),
            ..Default::default()
        };
        server.update(&id, patch, &tester()).await.unwrap();
    }
    let gone = create(&server, "gone").await;
    assert!(present(&server, &gone).await.is_ok());
    let gone_id = revoked_later.record.id.to_string();
    server.revoke(&gone_id, None, &tester()).await.unwrap();
    server.sync().await.unwrap();
    restore(&place, &backup.display().to_string()).await;
    server.sync().await.unwrap();

    assert!(server.is_loaded());
    assert_eq!(refusal(present(&server, &gone).await), Reason::UnknownKey);
    assert!(
        present(&server, &revoked_later).await.is_ok(),
        "the backup says so"
    );
    assert!(present(&server, &kept).await.is_ok());
    let (elsewhere, _) = process(&place).await;
    elsewhere.revoke(&id, None, &tester()).await.unwrap();
    server.sync().await.unwrap();
    assert_eq!(
        refusal(present(&server, &kept).await),
        Reason::KeyIs(Status::Revoked)
    );
}

#[tokio::test]
async fn every_altered_column_of_the_log_is_named_by_its_record() {
    for alteration in [
        "action = 'x.y'",
        "action = 'key.revoked'",
        "key_id = 'zzz'",
        "key_id = upper(key_id)",
        "key_id = NULL",
        "actor = 'cli:nobody'",
        "address = 'garbage'",
        "address = '::A'",
        "hash = x'00'",
        "hash = zeroblob(32)",
        "time = time + 1",
        "user_agent = 'x'",
        "method = ''",
        "path = '/x'",
        "status = -1",
        "status = 0",
        "status = 200",
        "status = 70000",
        "request_id = 'x'",
        "details = 'x'",
        "details = CAST(x'FF' AS TEXT)",
    ] {
        let place = Place::new();
        let server = server(&place).await;
        for name in ["a", "b", "c"] {
            create(&server, name).await;
        }
        let sql = format!("UPDATE audit SET {alteration} WHERE sequence = 4");
        assert_eq!(place.tamper(&sql).await, 1);
        let walked = server.verify_logs(|_| {}).await.unwrap();
        assert_eq!(walked, Err(BadChain::Altered(4)), "{alteration}");
    }
}

#[tokio::test]
async fn a_damaged_place_or_head_of_the_log_is_named() {
    for (alteration, bad) in [
        (
            "audit SET sequence = -3 WHERE sequence = 3",
            BadChain::Missing(3),
        ),
        (
            "audit SET sequence = 9, action = 'x.y' WHERE sequence = 3",
            BadChain::Missing(3),
        ),
        (
            "audit SET sequence = 40 WHERE sequence = 4",
            BadChain::Missing(4),
        ),
        ("audit_head SET hash = x'00'", BadChain::Head(6)),
        ("audit_head SET seal = x''", BadChain::Head(6)),
        ("audit_head SET sequence = -1", BadChain::Head(6)),
    ] {
        let place = Place::new();
        let server = server(&place).await;
        for name in ["a", "b", "c"] {
            create(&server, name).await;
        }
        assert_eq!(place.tamper(&format!("UPDATE {alteration}")).await, 1);
        let walked = server.verify_logs(|_| {}).await.unwrap();
        assert_eq!(walked, Err(bad), "{alteration}");
    }
}

#[tokio::test]
async fn a_server_neither_starts_nor_goes_on_over_a_damaged_revocation() {
    let place = Place::new();
    let running = server(&place).await;
    let command_line = place.open().await;
    commit(&command_line, [Change::Revoke(revoked_token(1, 60))]).await;
    place.tamper("UPDATE revocation SET epoch = 1").await;
    for _ in 0..2 {
        assert!(running.sync().await.is_err());
    }
    let (starting, _) = stopped(&place).await;
    assert!(starting.start().await.is_err());

    place.tamper("UPDATE revocation SET epoch = NULL").await;
    running.sync().await.unwrap();
    starting.start().await.unwrap();
}

async fn server(place: &Place) -> Authority {
    process(place).await.0
}

async fn process(place: &Place) -> (Authority, Arc<ManualClock>) {
    let (authority, clock) = stopped(place).await;
    authority.start().await.unwrap();
    authority.load_keys().await.unwrap();
    (authority, clock)
}

async fn stopped(place: &Place) -> (Authority, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(BIRTH));
    let authority = Authority::new(
        Arc::new(place.open().await),
        clock.clone(),
        Arc::new(SystemRandom),
        &master(),
        Settings::default(),
    );
    (authority, clock)
}

fn tester() -> Caller {
    Caller::command_line("tester")
}

fn request(name: &str) -> KeyRequest {
    KeyRequest {
        name: name.to_owned(),
        permissions: Some("api:read".to_owned()),
        ..KeyRequest::default()
    }
}

async fn create(authority: &Authority, name: &str) -> Created {
    authority.create(request(name), &tester()).await.unwrap()
}

/// Makes a key an administrator's, behind the store's back.
async fn damage(place: &Place, key: &Created) {
    alter(place, key.record.id, "is_admin = 1").await;
}

/// Alters a key's row, and says so in the change feed.
async fn alter(place: &Place, id: KeyId, alteration: &str) {
    let row = format!("UPDATE api_key SET {alteration} WHERE id = '{id}'");
    assert_eq!(place.tamper(&row).await, 1);
    let feed = format!("INSERT INTO feed (kind, subject) VALUES ('key', '{id}')");
    assert_eq!(place.tamper(&feed).await, 1);
}

/// Puts the content of a backup into the file, at once, while others have it open.
async fn restore(place: &Place, backup: &str) {
    let tables = [
        "meta",
        "data_encryption_key",
        "api_key",
        "audit",
        "audit_head",
        "feed",
        "uses",
        "lineage_key",
        "signing_key",
        "sqlite_sequence",
    ];
    let copies = tables.map(|table| {
        format!("DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM old.{table};")
    });
    let sql = format!(
        "ATTACH '{backup}' AS old; BEGIN IMMEDIATE; {} COMMIT;",
        copies.concat()
    );
    place.tamper(&sql).await;
}

async fn present(authority: &Authority, key: &Created) -> Result<Identity, Error> {
    let credential = Credential::Key(key.api_key.expose());
    authority.authenticate(credential, HERE).await
}

async fn bear(authority: &Authority, key: &Created) -> Result<Identity, Error> {
    let credential = Credential::Bearer(key.grant.token.expose());
    authority.authenticate(credential, HERE).await
}

#[track_caller]
fn refusal(result: Result<Identity, Error>) -> Reason {
    match result {
        Err(Error::Denied(denied)) => denied.reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_user_whose_row_is_damaged_can_be_logged_out_all_the_same() {
    let place = Place::new();
    let server = server(&place).await;
    let user = serde_json::json!({"username": "ada", "password": "correct horse battery"});
    let user = serde_json::from_value(user).unwrap();
    let operator = Caller::command_line("tester");
    server.create_user(user, &operator).await.unwrap();
    let damage = "UPDATE user_account SET epoch = epoch + 1";
    assert_eq!(place.tamper(damage).await, 1);
    assert!(server.user("ada").await.is_err());
    server.log_out_user("ada", &operator).await.unwrap();
    let revoked = server.store().revocations_after(None, 10).await.unwrap();
    assert_eq!(revoked[0].subject.name(), "user:ada");
}
