//! Networks from which somebody logged in to an account.

use sealgate_core::store::{Change, KNOWN_ADDRESSES};

use super::records::know_address;
use super::{Engine, change};

pub async fn known_networks_come_newest_first(engine: impl Engine) {
    let store = engine.open().await;
    let known = [
        know_address("ada", "192.0.2.1", 10),
        know_address("ada", "2001:db8::/64", 30),
        know_address("bob", "192.0.2.9", 40),
        know_address("ada", "192.0.2.2", 20),
    ];
    change(&*store, known).await;
    let ada = store.known_addresses("ada").await.unwrap();
    assert_eq!(ada, ["2001:db8::/64", "192.0.2.2", "192.0.2.1"]);
    assert_eq!(store.known_addresses("bob").await.unwrap(), ["192.0.2.9"]);
    for nobody in ["", "Ada", "eve"] {
        assert!(store.known_addresses(nobody).await.unwrap().is_empty());
    }
}

pub async fn a_network_is_as_new_as_its_last_login(engine: impl Engine) {
    let store = engine.open().await;
    for (network, seconds) in [("a", 10), ("b", 20), ("a", 30), ("c", 25), ("a", 5)] {
        change(&*store, [know_address("ada", network, seconds)]).await;
    }
    let ada = store.known_addresses("ada").await.unwrap();
    assert_eq!(ada, ["a", "c", "b"]);
}

pub async fn of_an_account_the_newest_networks_are_kept(engine: impl Engine) {
    let store = engine.open().await;
    change(&*store, [know_address("bob", "old", 0)]).await;
    let many = i64::from(KNOWN_ADDRESSES) + 5;
    let name = |number: i64| format!("network {number:02}");
    change(
        &*store,
        (0..many).map(|number| know_address("ada", &name(number), number)),
    )
    .await;
    let newest: Vec<String> = (5..many).rev().map(name).collect();
    assert_eq!(store.known_addresses("ada").await.unwrap(), newest);
    change(&*store, [know_address("ada", "older than all", 0)]).await;
    assert_eq!(store.known_addresses("ada").await.unwrap(), newest);
    change(&*store, [know_address("ada", "newer than all", 900)]).await;
    let ada = store.known_addresses("ada").await.unwrap();
    assert_eq!(
        (ada.len(), ada[0].as_str()),
        (newest.len(), "newer than all")
    );
    assert!(!ada.contains(&name(5)));
    assert_eq!(store.known_addresses("bob").await.unwrap(), ["old"]);
}

pub async fn an_accounts_networks_are_forgotten_together(engine: impl Engine) {
    let store = engine.open().await;
    let known = ["ada", "bob"].map(|account| know_address(account, "192.0.2.1", 0));
    change(&*store, known).await;
    let account = "ada".to_owned();
    change(&*store, [Change::ForgetAddresses { account }]).await;
    assert!(store.known_addresses("ada").await.unwrap().is_empty());
    assert_eq!(store.known_addresses("bob").await.unwrap().len(), 1);
}
