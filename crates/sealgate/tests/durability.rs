//! Kill -9 at any moment, under load: nothing acknowledged is lost, nothing is half done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, Key, Server, Stopwatch};

const KILLS: usize = 50;
const CLIENTS: usize = 4;

/// What a key was last told to be, by an answer that arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Created,
    Rotated,
    Revoked,
}

#[test]
fn fifty_kills_under_load_lose_nothing_acknowledged_and_leave_nothing_half_done() {
    let home = Home::new();
    let admin = home.create_key(&["--name", "Admin", "--admin"]);
    let acknowledged = Mutex::new(BTreeMap::new());
    for kill in 0..KILLS {
        let server = Server::start(&home);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (server, admin) = (&server, &admin);
                let (acknowledged, is_over) = (&acknowledged, &is_over);
                scope.spawn(move || {
                    let name = format!("{kill}-{client}");
                    while !is_over.load(Ordering::SeqCst) {
                        if change_keys(server, admin, &name, acknowledged, is_over).is_none() {
                            return;
                        }
                    }
                });
            }
            // Another moment each time: from before the first answer to the middle of a stream.
            std::thread::sleep(Duration::from_millis(5 + kill as u64 * 37 % 120));
            is_over.store(true, Ordering::SeqCst);
            server.signal(rustix::process::Signal::KILL);
        });
        drop(server);
    }
    let acknowledged = acknowledged.into_inner().expect("as the test set it up");
    println!("{KILLS} kills, {} keys acknowledged", acknowledged.len());
    assert!(acknowledged.len() > KILLS, "there was hardly any load");
    let keys = every_key(&home);
    nothing_acknowledged_is_lost(&acknowledged, &keys);
    nothing_is_half_done(&home, &keys);
}

/// Makes a key, rotates it, revokes its successor; notes each answer that arrives whole.
fn change_keys(
    server: &Server,
    admin: &Key,
    name: &str,
    acknowledged: &Mutex<BTreeMap<String, Told>>,
    is_over: &AtomicBool,
) -> Option<()> {
    let note = |id: &str, told| {
        acknowledged
            .lock()
            .expect("as the test set it up")
            .insert(id.to_owned(), told)
    };
    let change = |path: &str, body: Value, status: u16| {
        let answer = server
            .post(path)
            .api_key(&admin.api_key)
            .json(&body)
            .try_send()?;
        // Once our server is dead, that of a test beside this one can have its port; it knows no
        // key of ours, and what it answers is about nothing here.
        if answer.status == 401 && is_over.load(Ordering::SeqCst) {
            return None;
        }
        assert_eq!(answer.status, status, "{answer:?}");
        Some(answer.json())
    };
    let made = change("/api/auth/keys", json!({"name": name}), 201)?;
    let id = made["key"]["key_id"].as_str()?;
    note(id, Told::Created);
    let rotated = change(&format!("/api/auth/keys/{id}/rotate"), json!({}), 200)?;
    let successor = rotated["new_key"]["key_id"].as_str()?;
    note(id, Told::Rotated);
    note(successor, Told::Created);
    change(
        &format!("/api/auth/keys/{successor}/revoke"),
        json!({"reason": "done"}),
        200,
    )?;
    note(successor, Told::Revoked);
    Some(())
}

/// Every key of the store, by its identifier.
fn every_key(home: &Home) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut arguments = vec!["list", "--limit", "1000"];
        if let Some(cursor) = &cursor {
            arguments.extend(["--cursor", cursor]);
        }
        let page = home.json(&arguments);
        for key in page["keys"].as_array().expect("as the test set it up") {
            keys.insert(
                key["key_id"]
                    .as_str()
                    .expect("as the test set it up")
                    .to_owned(),
                key.clone(),
            );
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return keys,
        }
    }
}

fn nothing_acknowledged_is_lost(told: &BTreeMap<String, Told>, keys: &BTreeMap<String, Value>) {
    for (id, told) in told {
        let key = keys
            .get(id)
            .unwrap_or_else(|| panic!("{id} was acknowledged and is not there"));
        let status = key["status"].as_str().expect("as the test set it up");
        // What was under way when the server died may have happened too, and moved the key on.
        let possible: &[&str] = match told {
            Told::Created => &["active", "rotated", "revoked"],
            Told::Rotated => &["rotated"],
            Told::Revoked => &["revoked"],
        };
        assert!(
            possible.contains(&status),
            "{id}: told {told:?}, is {status}"
        );
    }
}

/// A change, its audit record and its successor stand or fall together.
fn nothing_is_half_done(home: &Home, keys: &BTreeMap<String, Value>) {
    assert_eq!(home.json(&["logs", "--verify"])["whole"], true);
    let mut recorded: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in every_event(home) {
        if let Some(id) = event["key_id"].as_str() {
            let action = event["action"]
                .as_str()
                .expect("as the test set it up")
                .to_owned();
            recorded.entry(id.to_owned()).or_default().insert(action);
        }
    }
    let ids: BTreeSet<_> = keys.keys().collect();
    assert_eq!(
        recorded.keys().collect::<BTreeSet<_>>(),
        ids,
        "records of keys that are not there"
    );
    for (id, key) in keys {
        let is_recorded = |action: &str| recorded[id].contains(action);
        assert!(
            is_recorded("key.created"),
            "{id} has no record of its making"
        );
        assert_eq!(is_recorded("key.revoked"), key["revoked"] == true, "{id}");
        assert_eq!(
            is_recorded("key.rotated"),
            !key["rotated_to"].is_null(),
            "{id}"
        );
        if let Some(successor) = key["rotated_to"].as_str() {
            assert_eq!(keys[successor]["rotated_from"], **id, "{id}");
        }
    }
}

fn every_event(home: &Home) -> Vec<Value> {
    let mut events = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut arguments = vec!["logs", "--limit", "1000"];
        if let Some(cursor) = &cursor {
            arguments.extend(["--cursor", cursor]);
        }
        let page = home.json(&arguments);
        events.extend(
            page["events"]
                .as_array()
                .expect("as the test set it up")
                .iter()
                .cloned(),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return events,
        }
    }
}

/// A use is counted in memory first: a kill loses at most those of the last second.
#[test]
fn a_kill_loses_the_uses_of_one_second_at_most() {
    let home = Home::new();
    let key = home.create_key(&["--name", "Caller"]);
    let server = Server::start(&home);
    let since = Stopwatch::start();
    let mut answered = Vec::new();
    while since.elapsed() < Duration::from_millis(1_700) {
        let answer = server.get("/api/auth/verify").api_key(&key.api_key).send();
        assert_eq!(answer.status, 200, "{answer:?}");
        answered.push(since.elapsed());
    }
    let killed = since.elapsed();
    server.signal(Signal::KILL);
    let _ = server.wait();

    let counted = home.json(&["show", "--id", &key.id])["use_count"]
        .as_u64()
        .expect("a number");
    let due = answered
        .iter()
        .filter(|moment| **moment + Duration::from_secs(1) < killed)
        .count() as u64;
    assert!(due > 0, "there was hardly any load");
    assert!(
        counted >= due,
        "{counted} counted, {due} answered more than a second before"
    );
    assert!(
        counted <= answered.len() as u64,
        "{counted} counted of {}",
        answered.len()
    );
}
