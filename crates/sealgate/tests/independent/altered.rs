//! No byte of a token can be changed, left out or added.

use super::{SEAL_KEY, Scene};

/// A character of the same alphabet whose six bits all differ.
fn other(byte: u8) -> u8 {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    match ALPHABET.iter().position(|known| *known == byte) {
        Some(at) => ALPHABET[63 - at],
        // A dot between the parts.
        None => b'A',
    }
}

#[test]
fn a_token_of_which_any_one_byte_was_changed_is_refused() {
    let scene = Scene::new();
    let token = scene.log_in("aisyah", SEAL_KEY);
    scene.profile(&token, SEAL_KEY).expect(200);
    for at in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[at] = other(altered[at]);
        let altered = String::from_utf8(altered).expect("text");
        let answer = scene.profile(&altered, SEAL_KEY);
        assert_eq!(
            answer.status,
            401,
            "byte {at} of {}: {answer:?}",
            token.len()
        );
    }
    scene.profile(&token, SEAL_KEY).expect(200);
}

#[test]
fn a_token_that_was_cut_or_lengthened_is_refused() {
    let scene = Scene::new();
    let token = scene.log_in("aisyah", SEAL_KEY);
    let (without_footer, footer) = token.rsplit_once('.').expect("a footer");
    let parts = [
        without_footer.to_owned(),
        format!("{without_footer}."),
        format!("{token}."),
        format!("{token}.{footer}"),
        format!("{token}A"),
        format!("{token}="),
        token[..token.len() - 1].to_owned(),
        token[1..].to_owned(),
        token["v4.public.".len()..].to_owned(),
        token.to_ascii_lowercase(),
        token.replacen("v4.", "V4.", 1),
    ];
    for altered in parts {
        let answer = scene.profile(&altered, SEAL_KEY);
        assert_eq!(answer.status, 401, "{altered}: {answer:?}");
    }
}
