//! What is known here decides about a credential, or that it cannot. Pure: the time goes in.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use sealgate_token::jwt::{KeySet, Policy, Signer, TrustedClaims, Untrusted};
use sealgate_token::paseto::{
    SessionDataKey, SessionKeySet, SessionPolicy, TrustedSession, UntrustedSession,
};
use sealgate_token::revocations::RevocationList;
use serde_json::Value;
use zeroize::Zeroizing;

use super::SessionOptions;
use crate::clock::Moment;
use crate::credential::{Presented, is_clients_own};
use crate::identity::{Identity, Kind};
use crate::refusal::{Cause, Outage, Refusal};

/// How old published keys may become. They are fetched far more often: this is for a server that goes on
/// telling revocations, and no keys.
const MAX_KEY_AGE: Duration = Duration::from_hours(24);

/// The keys that were published.
#[derive(Debug)]
pub(super) struct Keys {
    pub access: KeySet,
    pub sessions: SessionKeySet,
    /// When they were asked for.
    pub asked_at: Moment,
}

/// The list of revocations that came last, and since when nothing has been added to it.
#[derive(Clone, Debug)]
pub(super) struct Confirmed {
    pub list: Arc<RevocationList>,
    /// Of all that came, the one that was signed last: another one, if the server now in charge signed its
    /// list before the last one did, or if somebody brings an old list back. What it revokes stays revoked.
    pub newest: Arc<RevocationList>,
    pub etag: Option<HeaderValue>,
    /// When it was asked for the last time that it came, or that it had not changed.
    pub asked_at: Moment,
}

impl Confirmed {
    /// A list that came, after those before.
    pub fn after(
        before: Option<Self>,
        list: RevocationList,
        etag: Option<HeaderValue>,
        asked_at: Moment,
    ) -> Self {
        let list = Arc::new(list);
        let newest = before
            .map(|before| before.newest)
            .filter(|newest| newest.issued_at() > list.issued_at());
        Self {
            newest: newest.unwrap_or_else(|| Arc::clone(&list)),
            list,
            etag,
            asked_at,
        }
    }

    /// The lists to go by.
    fn lists(&self) -> impl Iterator<Item = &RevocationList> {
        let are_two = !Arc::ptr_eq(&self.list, &self.newest);
        [Some(&*self.list), are_two.then_some(&*self.newest)]
            .into_iter()
            .flatten()
    }

    fn honours_signer(&self, kid: &str) -> bool {
        self.lists().all(|list| list.is_signer_honoured(kid))
    }

    fn vouches_for_token(&self, claims: &TrustedClaims) -> bool {
        self.lists().all(|list| list.vouches_for_token(claims))
    }

    fn vouches_for_session(&self, session: &TrustedSession) -> bool {
        self.lists().all(|list| list.vouches_for_session(session))
    }

    fn revokes_token(&self, claims: &TrustedClaims, now: i64) -> bool {
        self.lists().any(|list| list.revokes_token(claims, now))
    }

    fn revokes_session(&self, session: &TrustedSession) -> bool {
        self.lists().any(|list| list.revokes_session(session))
    }
}

/// What is known from Sealgate.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub keys: Option<Arc<Keys>>,
    pub revocations: Option<Confirmed>,
}

/// What credentials are held against.
#[derive(Debug)]
pub(super) struct Rules {
    pub issuer: String,
    pub sessions: Option<SessionOptions>,
    pub seal_key_header: HeaderName,
    pub max_staleness: Duration,
}

/// Why nobody was identified.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsettled {
    /// The credential is bad, whoever is asked.
    Refused(Refusal),
    /// The token names a key that has not been published, as far as is known.
    UnknownKey,
    /// Only the server can tell.
    NotLocal(Cause),
    /// Not with what is known now.
    Outage(Outage),
}

impl From<Refusal> for Unsettled {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Cause> for Unsettled {
    fn from(cause: Cause) -> Self {
        Self::Refused(cause.into())
    }
}

impl From<Unsettled> for Refusal {
    fn from(unsettled: Unsettled) -> Self {
        match unsettled {
            Unsettled::Refused(refusal) => refusal,
            Unsettled::UnknownKey => Cause::UnknownKey.into(),
            Unsettled::NotLocal(cause) => cause.into(),
            Unsettled::Outage(outage) => outage.into(),
        }
    }
}

/// Keys and revocations that are fresh enough to go by.
struct Fresh<'a> {
    keys: &'a Keys,
    revocations: &'a Confirmed,
    now: i64,
}

impl Rules {
    /// Decides.
    pub fn judge(
        &self,
        known: &Known,
        presented: &Presented<'_>,
        now: Moment,
    ) -> Result<Identity, Unsettled> {
        // A second credential has to be good too, and a key is for the server alone to judge.
        let Some(token) = presented.token.filter(|_| !presented.has_key) else {
            return Err(Unsettled::NotLocal(Cause::NotLocal));
        };
        if token.starts_with("v4.public.") {
            self.judge_session(known, token, presented.seal_key, now)
        } else {
            self.judge_access(known, token, now)
        }
    }

    fn judge_access(&self, known: &Known, token: &str, now: Moment) -> Result<Identity, Unsettled> {
        let untrusted = Untrusted::parse(token).map_err(Refusal::from)?;
        let Signer::Server { kid, .. } = untrusted.signer() else {
            return Err(Unsettled::NotLocal(Cause::NotLocal));
        };
        let Fresh {
            keys,
            revocations,
            now,
        } = self.fresh(known, now)?;
        let key = keys.access.find(kid).ok_or(Unsettled::UnknownKey)?;
        let policy = Policy::new(&self.issuer);
        let claims = untrusted.verify_server(key, &policy, now);
        let claims = claims.map_err(Refusal::from)?;
        if !revocations.honours_signer(&kid.to_string()) {
            return Err(Unsettled::NotLocal(Cause::UnknownKey));
        }
        if revocations.revokes_token(&claims, now) {
            return Err(Cause::Revoked.into());
        }
        if !revocations.vouches_for_token(&claims) {
            return Err(Unsettled::NotLocal(Cause::TooLongLived));
        }
        Ok(of_token(&claims))
    }

    fn judge_session(
        &self,
        known: &Known,
        token: &str,
        seal_key: Option<&str>,
        now: Moment,
    ) -> Result<Identity, Unsettled> {
        let Some(SessionOptions { audience, issuer }) = &self.sessions else {
            return Err(Unsettled::NotLocal(Cause::NotLocal));
        };
        let untrusted = UntrustedSession::parse(token).map_err(Refusal::from)?;
        let Fresh {
            keys,
            revocations,
            now,
        } = self.fresh(known, now)?;
        let kid = untrusted.claimed_kid();
        let key = keys.sessions.find(kid, now).ok_or(Unsettled::UnknownKey)?;
        let policy = SessionPolicy::new(audience, issuer);
        let session = untrusted.verify(key, &policy, now);
        let session = session.map_err(Refusal::from)?;
        if !revocations.honours_signer(kid) {
            return Err(Unsettled::NotLocal(Cause::UnknownKey));
        }
        if revocations.revokes_session(&session) {
            return Err(Cause::Revoked.into());
        }
        if !revocations.vouches_for_session(&session) {
            return Err(Unsettled::NotLocal(Cause::TooLongLived));
        }
        let data = match seal_key {
            None => return Err(Unsettled::NotLocal(Cause::NoSealKey)),
            Some(text) if !is_clients_own(text) => {
                return Err(Unsettled::NotLocal(Cause::NotLocal));
            }
            Some(text) => open(&session, text)?,
        };
        Ok(of_session(&session, data))
    }

    fn fresh<'a>(&self, known: &'a Known, now: Moment) -> Result<Fresh<'a>, Unsettled> {
        let (Some(keys), Some(revocations)) = (&known.keys, &known.revocations) else {
            return Err(Unsettled::Outage(Outage::NotReady));
        };
        let age = now.since(revocations.asked_at);
        let is_over = revocations.list.is_expired(now.unix_seconds());
        if age > self.max_staleness || is_over || now.since(keys.asked_at) > MAX_KEY_AGE {
            return Err(Unsettled::Outage(Outage::Stale(age)));
        }
        Ok(Fresh {
            keys,
            revocations,
            now: now.unix_seconds(),
        })
    }
}

fn of_token(claims: &TrustedClaims) -> Identity {
    let permissions = if claims.is_admin() {
        "*"
    } else {
        claims.permissions()
    };
    Identity {
        key_id: Some(claims.key_id()),
        permissions: permissions.to_owned(),
        expires_at: Some(claims.expires_at()),
        ..Identity::of(Kind::Token, claims.key_id().to_string())
    }
}

fn of_session(session: &TrustedSession, data: Value) -> Identity {
    Identity {
        expires_at: Some(session.expires_at()),
        user_data: Some(Arc::new(data)),
        ..Identity::of(Kind::Session, session.subject())
    }
}

/// Opens the user data. Who has the token and not the seal key is not its user.
fn open(session: &TrustedSession, seal_key: &str) -> Result<Value, Refusal> {
    let mut seal_key = Zeroizing::new(seal_key.to_owned());
    if !seal_key.contains('_') {
        // Hexadecimal is a number, and the same in either case.
        seal_key.make_ascii_lowercase();
    }
    let data = SessionDataKey::derive(seal_key.as_bytes())
        .open(session.jti(), session.data())
        .map_err(|_| Cause::WrongSealKey)?;
    serde_json::from_str(&data).map_err(|_| Cause::Malformed.into())
}

#[cfg(test)]
mod tests {
    use sealgate_token::jwt::{Algorithm, SigningKey};
    use sealgate_token::revocations::RevocationClaims;
    use uuid::Uuid;

    use super::*;

    const NOW: Moment = Moment {
        unix_millis: 1_790_000_000_000,
        uptime: Duration::from_secs(7),
    };
    const ENDED: Uuid = Uuid::from_u128(7);

    fn list(key: &SigningKey, seconds_ago: i64, jtis: Vec<Uuid>) -> RevocationList {
        let iat = NOW.unix_seconds() - seconds_ago;
        let claims = RevocationClaims {
            iss: "sealgate".to_owned(),
            iat,
            exp: iat + 3_600,
            ttl: 2,
            token_lifetime: 3_600,
            session_lifetime: 604_800,
            signers: vec![format!("signer {seconds_ago}"), "signer".to_owned()],
            keys: Vec::new(),
            jtis,
            salt: [7; 16],
            users: Vec::new(),
        };
        let keys = KeySet::from_iter([key.verifying_key().clone()]);
        let text = claims.sign(key).unwrap();
        RevocationList::verify(&text, &keys, "sealgate", NOW.unix_seconds()).unwrap()
    }

    fn ended(confirmed: &Confirmed) -> bool {
        confirmed.lists().any(|list| list.is_token_revoked(ENDED))
    }

    #[test]
    fn a_list_that_was_signed_before_the_last_one_revives_nothing() {
        let (key, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let newer = Confirmed::after(None, list(&key, 10, vec![ENDED]), None, NOW);
        assert!(ended(&newer));
        let older = Confirmed::after(Some(newer), list(&key, 20, Vec::new()), None, NOW);
        assert!(ended(&older));
        assert!(older.honours_signer("signer"));
        for gone in ["signer 10", "signer 20"] {
            assert!(!older.honours_signer(gone), "{gone}");
        }
        // What the next one has forgotten has expired.
        let newest = Confirmed::after(Some(older), list(&key, 0, Vec::new()), None, NOW);
        assert!(!ended(&newest));
        assert!(newest.honours_signer("signer 0"));
    }

    #[test]
    fn keys_and_list_have_to_be_fresh() {
        let (key, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let rules = Rules {
            issuer: "sealgate".to_owned(),
            sessions: None,
            seal_key_header: HeaderName::from_static("x-gomaluum-key"),
            max_staleness: Duration::from_secs(10),
        };
        let later = |seconds: u64| Moment {
            uptime: NOW.uptime + Duration::from_secs(seconds),
            ..NOW
        };
        let mut known = Known::default();
        let is_fresh = |known: &Known, now| rules.fresh(known, now).is_ok();
        assert!(!is_fresh(&known, NOW));
        known.revocations = Some(Confirmed::after(None, list(&key, 0, Vec::new()), None, NOW));
        assert!(!is_fresh(&known, NOW));
        let keys = |asked_at| Keys {
            access: KeySet::default(),
            sessions: SessionKeySet::default(),
            asked_at,
        };
        known.keys = Some(Arc::new(keys(NOW)));
        assert!(is_fresh(&known, later(10)));
        assert!(!is_fresh(&known, later(11)));
        let date = |seconds: i64| Moment {
            unix_millis: NOW.unix_millis + 1_000 * seconds,
            ..NOW
        };
        assert!(!is_fresh(&known, date(11)));
        let day_before = date(-86_401);
        known.keys = Some(Arc::new(keys(day_before)));
        assert!(!is_fresh(&known, NOW));
    }
}
