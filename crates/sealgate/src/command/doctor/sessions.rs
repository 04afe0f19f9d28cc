//! Users and their sessions: what seals where no key is sent, where users come from, what a guess at
//! a password costs.

use sealgate_core::identity::{IdentityProvider, NotIdentified};
use sealgate_core::password::HashingCost;
use sealgate_core::random::{SystemRandom, array};
use sealgate_core::secret::SecretText;

use super::{Context, Finding};
use crate::directory;
use crate::output::thousands;
use crate::settings::{Backend, Identity, Passwords, Sessions, WrongKeyStatus};

/// Looks at the settings of users and sessions.
pub async fn examine(context: &Context) -> Vec<Finding> {
    let settings = &context.settings;
    let mut findings = vec![
        default_key(&settings.sessions),
        wrong_key(&settings.sessions),
        identity(&settings.identity),
        passwords(&settings.passwords, &settings.identity),
    ];
    if let Ok(Some(directory)) = directory::of(&settings.identity) {
        findings.push(refuses_nobody(directory.provider.as_ref()).await);
    }
    findings
}

fn default_key(sessions: &Sessions) -> Finding {
    const CHECK: &str = "seal key";
    let header = &sessions.header;
    if sessions.takes_well_known_key() {
        let message = format!(
            "clients that send no {header} seal with the default key, which everybody knows: set \
             sessions.require_key once all of them send one, or sessions.default_key"
        );
        return Finding::warn(CHECK, message);
    }
    Finding::ok(
        CHECK,
        if sessions.require_key {
            format!("every client has to send its own in {header}")
        } else {
            format!("clients that send no {header} seal with a default key of your own")
        },
    )
}

fn wrong_key(sessions: &Sessions) -> Finding {
    Finding::ok(
        "wrong seal key",
        match sessions.wrong_key_status {
            WrongKeyStatus::InternalServerError => {
                "answered with 500, as the guide has it: leave it out of alarms about the server, \
                 or set sessions.wrong_key_status = 401"
            }
            WrongKeyStatus::Unauthorized => "answered with 401",
        },
    )
}

fn identity(identity: &Identity) -> Finding {
    const CHECK: &str = "users";
    match directory::of(identity) {
        Err(failure) => Finding::failed(CHECK, &failure),
        Ok(None) => Finding::ok(CHECK, "those of this store: `sealgate user add`"),
        Ok(Some(directory)) => {
            let place = directory.provider.describe();
            if directory.is_plaintext {
                let message = format!(
                    "passwords travel to {place} in the clear: let it speak TLS, and take its \
                     https:// or ldaps:// address"
                );
                Finding::warn(CHECK, message)
            } else {
                Finding::ok(CHECK, format!("those of {place}"))
            }
        }
    }
}

/// Tries a login that nobody has. What takes it would let everybody in, as anybody: a portal that says
/// no with status 200 is easily taken for one that says yes.
async fn refuses_nobody(directory: &dyn IdentityProvider) -> Finding {
    const CHECK: &str = "directory";
    let drawn = u128::from_le_bytes(array(&SystemRandom));
    let password = SecretText::new(format!("{drawn:032x}"));
    match directory.identify("sealgate-doctor", &password).await {
        Err(NotIdentified::Refused) => Finding::ok(CHECK, "it refuses a login that nobody has"),
        Err(NotIdentified::Unavailable(why)) => {
            Finding::warn(CHECK, format!("nobody can log in at the moment: {why}"))
        }
        Ok(_) => Finding::fail(
            CHECK,
            "it took a user name and a password that were made up, and so lets everybody in: name \
             what only a good login gets, by identity.http.success or identity.http.success_cookie",
        ),
    }
}

fn passwords(passwords: &Passwords, identity: &Identity) -> Finding {
    const CHECK: &str = "passwords";
    if identity.backend != Backend::Embedded {
        return Finding::ok(CHECK, "kept by the directory, and never here");
    }
    let cost = passwords.cost();
    let told = format!(
        "Argon2id, {} KiB, {} passes",
        thousands(cost.memory_kib.into()),
        cost.passes
    );
    if is_cheap(cost) {
        let message = format!(
            "{told}: less than OWASP asks for, and guessing is cheap for whoever has the store and \
             the master key; the default of [passwords] is enough"
        );
        return Finding::warn(CHECK, message);
    }
    Finding::ok(CHECK, told)
}

/// Whether a hash costs less than every one of the choices that the OWASP Password Storage Cheat
/// Sheet holds equal: pairs of memory in KiB and passes.
fn is_cheap(cost: HashingCost) -> bool {
    const ENOUGH: [(u32, u32); 5] = [
        (47_104, 1),
        (19_456, 2),
        (12_288, 3),
        (9_216, 4),
        (7_168, 5),
    ];
    !ENOUGH
        .iter()
        .any(|(memory_kib, passes)| cost.memory_kib >= *memory_kib && cost.passes >= *passes)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_cost_is_cheap_below_every_choice_of_owasps() {
        let is_cheap = |memory_kib, passes| {
            is_cheap(HashingCost {
                memory_kib,
                passes,
                lanes: 1,
            })
        };
        for (memory, passes) in [(19_456, 2), (47_104, 1), (65_536, 3), (7_168, 5)] {
            assert!(!is_cheap(memory, passes), "{memory} {passes}");
        }
        for (memory, passes) in [(19_455, 2), (47_103, 1), (8, 100), (7_168, 4)] {
            assert!(is_cheap(memory, passes), "{memory} {passes}");
        }
    }

    #[test]
    fn the_well_known_key_warns_unless_nobody_can_use_it() {
        let mut sessions = Sessions::default();
        assert_eq!(default_key(&sessions).level, Level::Warn);
        sessions.require_key = true;
        assert_eq!(default_key(&sessions).level, Level::Ok);
    }
}
