//! Which passwords a user may choose: NIST SP 800-63B-4 section 3.1.1.2 and OWASP ASVS 5.0
//! section 6.2. Length counts, composition does not.

use crate::error::Error;
use crate::identity::MAX_LOGIN_FIELD;

/// Checks that a password may be a user's new one: of at least `min_length` characters and at most
/// [`MAX_LOGIN_FIELD`] bytes, spaces and every script included, without control characters, and not
/// the user's own name.
///
/// # Errors
/// [`Error::Invalid`] for the field `password`; it does not repeat the password.
pub fn check_new_password(password: &str, min_length: usize, username: &str) -> Result<(), Error> {
    let invalid = |message: String| Err(Error::invalid("password", message));
    if password.len() > MAX_LOGIN_FIELD {
        return invalid(format!("it must have at most {MAX_LOGIN_FIELD} bytes"));
    }
    if password.is_empty() || password.chars().count() < min_length {
        let least = min_length.max(1);
        return invalid(format!("it must have at least {least} characters"));
    }
    if password.chars().any(char::is_control) {
        return invalid("it must have no control characters, such as a line break".to_owned());
    }
    if password.to_lowercase() == username.to_lowercase() {
        return invalid("it is the user name: choose another".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_allowed(password: &str) -> bool {
        check_new_password(password, 8, "s1234567").is_ok()
    }

    #[test]
    fn length_is_counted_in_characters_and_bounded_in_bytes() {
        assert!(!is_allowed("1234567"));
        assert!(is_allowed("12345678"));
        assert!(!is_allowed("пароль!"));
        assert!(is_allowed("пароль!!"));
        assert!(is_allowed(&"x".repeat(256)));
        assert!(!is_allowed(&"x".repeat(257)));
        assert!(!is_allowed(&"я".repeat(129)));
        assert!(check_new_password("", 0, "somebody").is_err());
    }

    #[test]
    fn spaces_and_every_script_are_allowed_and_control_characters_are_not() {
        assert!(is_allowed("correct horse battery staple"));
        assert!(is_allowed("  كلمة السر 🔑 "));
        assert!(!is_allowed("correct\0horse"));
        assert!(!is_allowed("correct\nhorse"));
        assert!(!is_allowed("correct\u{85}horse"));
    }

    #[test]
    fn the_user_name_is_no_password_in_any_case() {
        assert!(!is_allowed("s1234567"));
        assert!(!is_allowed("S1234567"));
        assert!(is_allowed("s12345678"));
    }

    proptest! {
        #[test]
        fn a_refusal_does_not_repeat_the_password(password in "[\\x00-\\x7f]{8,40}") {
            if let Err(error) = check_new_password(&password, 50, "somebody") {
                prop_assert!(!error.to_string().contains(&password));
            }
        }
    }
}
