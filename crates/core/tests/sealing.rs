//! Encryption under the calling key's lineage.

mod support;

use sealgate_core::authority::{Authority, Identity};
use sealgate_core::error::Error;
use support::{Site, create, operator, present};

async fn decrypt(server: &Authority, who: &Identity, text: &str) -> Result<String, Error> {
    server
        .decrypt(who, text)
        .await
        .map(|text| text.expose().to_owned())
}

#[tokio::test]
async fn a_rotated_key_opens_what_its_predecessor_sealed_and_no_other_key_does() {
    let site = Site::new();
    let server = site.server().await;
    let (old, stranger) = (
        create(&server, "old").await,
        create(&server, "stranger").await,
    );
    let who = present(&server, &old).await.unwrap();
    let stranger = present(&server, &stranger).await.unwrap();
    assert_eq!(server.sealing_offer(&who).await.unwrap().key_version, 0);
    let sealed = server
        .encrypt(&who, "grüße", &operator())
        .await
        .unwrap()
        .ciphertext;
    assert!(sealed.starts_with("sg1."));
    assert_eq!(decrypt(&server, &who, &sealed).await.unwrap(), "grüße");

    let rotated = server
        .rotate(&old.record.id.to_string(), 0, None, &operator())
        .await
        .unwrap();
    let successor = present(&server, &rotated.new).await.unwrap();
    assert_eq!(
        decrypt(&server, &successor, &sealed).await.unwrap(),
        "grüße"
    );
    assert_eq!(
        server.sealing_offer(&successor).await.unwrap().key_version,
        2
    );
    let newer = server
        .encrypt(&successor, "neu", &operator())
        .await
        .unwrap()
        .ciphertext;
    assert_eq!(decrypt(&server, &successor, &newer).await.unwrap(), "neu");

    for text in [&sealed, &newer] {
        let refused = decrypt(&server, &stranger, text).await;
        assert!(
            matches!(
                refused,
                Err(Error::Invalid {
                    field: "ciphertext",
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    // Having a data key of its own of the same version does not help the stranger.
    server
        .encrypt(&stranger, "mine", &operator())
        .await
        .unwrap();
    assert!(decrypt(&server, &stranger, &sealed).await.is_err());
}

#[tokio::test]
async fn what_was_altered_or_cut_does_not_open() {
    let site = Site::new();
    let server = site.server().await;
    let who = present(&server, &create(&server, "k").await).await.unwrap();
    let sealed = server
        .encrypt(&who, "secret", &operator())
        .await
        .unwrap()
        .ciphertext;
    for at in 0..sealed.len() {
        let mut altered = sealed.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert!(decrypt(&server, &who, &altered).await.is_err(), "byte {at}");
        assert!(
            decrypt(&server, &who, &sealed[..at]).await.is_err(),
            "cut at {at}"
        );
    }
    assert!(decrypt(&server, &who, &format!("{sealed}A")).await.is_err());
    assert_eq!(decrypt(&server, &who, &sealed).await.unwrap(), "secret");
}

#[tokio::test]
async fn equal_texts_are_sealed_differently_each_time_and_empty_ones_too() {
    let site = Site::new();
    let server = site.server().await;
    let who = present(&server, &create(&server, "k").await).await.unwrap();
    let one = server
        .encrypt(&who, "", &operator())
        .await
        .unwrap()
        .ciphertext;
    let two = server
        .encrypt(&who, "", &operator())
        .await
        .unwrap()
        .ciphertext;
    assert_ne!(one, two);
    assert_eq!(decrypt(&server, &who, &one).await.unwrap(), "");
}

#[tokio::test]
async fn first_requests_at_the_same_time_agree_on_one_data_key() {
    let site = Site::new();
    let server = site.server().await;
    let who = present(&server, &create(&server, "k").await).await.unwrap();
    let caller = operator();
    let (a, b, c) = tokio::join!(
        server.encrypt(&who, "a", &caller),
        server.encrypt(&who, "b", &caller),
        server.encrypt(&who, "c", &caller),
    );
    for (sealed, text) in [(a, "a"), (b, "b"), (c, "c")] {
        let sealed = sealed.unwrap().ciphertext;
        assert_eq!(decrypt(&server, &who, &sealed).await.unwrap(), text);
    }
}
