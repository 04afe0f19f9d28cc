//! One connection to a directory, and what is said on it: who the user is, whether the password is
//! right, and what there is to know.

use ldap3::{
    Ldap as Session, LdapConnAsync, LdapConnSettings, LdapError, ResultEntry, Scope, SearchEntry,
    SearchOptions,
};
use sealgate_core::identity::{NotIdentified, UserData};
use sealgate_core::secret::SecretText;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::name::{NO_ATTRIBUTES, Name};
use super::{Directory, UserLookup};
use crate::unavailable;

/// Result codes (RFC 4511 appendix A.1).
mod code {
    pub(super) const SUCCESS: u32 = 0;
    pub(super) const SIZE_LIMIT_EXCEEDED: u32 = 4;
    pub(super) const CONSTRAINT_VIOLATION: u32 = 19;
    pub(super) const NO_SUCH_OBJECT: u32 = 32;
    pub(super) const INAPPROPRIATE_AUTHENTICATION: u32 = 48;
    pub(super) const INVALID_CREDENTIALS: u32 = 49;
    pub(super) const UNWILLING_TO_PERFORM: u32 = 53;
}

/// A name that no entry has: it is made of a random UUID.
const NOBODY: &str = "cn=5e0c1f2a-9d1b-4c59-8f6e-7a3b0d2c4e61";

/// A connection, with the task that moves its messages; both end together.
pub(super) struct Conversation<'a> {
    directory: &'a Directory,
    session: Session,
    _messages: JoinSet<()>,
}

impl<'a> Conversation<'a> {
    /// Asks who a user is, on a connection of its own.
    ///
    /// # Errors
    /// If the directory refuses the user, or cannot be used.
    pub(super) async fn identify(
        directory: &'a Directory,
        name: &Name,
        password: &SecretText,
    ) -> Result<UserData, NotIdentified> {
        let mut conversation = Self::begin(directory).await?;
        let outcome = conversation.ask(name, password).await;
        // A courtesy: the connection ends anyhow.
        let _ = conversation.session.unbind().await;
        outcome
    }

    async fn begin(directory: &'a Directory) -> Result<Self, NotIdentified> {
        let mut settings = LdapConnSettings::new().set_starttls(directory.start_tls);
        if let Some(tls) = &directory.tls {
            settings = settings.set_config(tls.clone());
        }
        let (connection, session) = LdapConnAsync::from_url_with_settings(settings, &directory.url)
            .await
            .map_err(|error| failed("the connection", &error))?;
        let mut messages = JoinSet::new();
        messages.spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "the connection to the LDAP directory ended");
            }
        });
        Ok(Self {
            directory,
            session,
            _messages: messages,
        })
    }

    async fn ask(&mut self, name: &Name, password: &SecretText) -> Result<UserData, NotIdentified> {
        let dn = match &self.directory.user {
            UserLookup::Template { dn } => name.in_dn(dn),
            UserLookup::Search {
                base,
                filter,
                bind_dn,
                bind_password,
            } => {
                self.bind_as_reader(bind_dn, bind_password).await?;
                match self.find(base, &name.in_filter(filter)).await? {
                    Some(dn) => dn,
                    None => return Err(self.bind_as_nobody(base, password).await),
                }
            }
        };
        self.bind_as_user(&dn, password).await?;
        let attributes = self.attributes(&dn).await?;
        let data = [
            ("username".to_owned(), Value::from(name.as_str())),
            ("dn".to_owned(), Value::from(dn)),
            ("attributes".to_owned(), Value::Object(attributes)),
        ];
        Ok(UserData(Map::from_iter(data)))
    }

    /// That the reader is refused is a fault of the settings, not of the user.
    async fn bind_as_reader(
        &mut self,
        dn: &str,
        password: &SecretText,
    ) -> Result<(), NotIdentified> {
        if dn.is_empty() {
            return Ok(());
        }
        self.session
            .simple_bind(dn, password.expose())
            .await
            .and_then(ldap3::LdapResult::success)
            .map(drop)
            .map_err(|error| failed("the bind of who looks for users", &error))
    }

    /// Asks as often for a user who is not there as for one who is: the time tells less.
    async fn bind_as_nobody(&mut self, base: &str, password: &SecretText) -> NotIdentified {
        let dn = match base {
            "" => NOBODY.to_owned(),
            base => format!("{NOBODY},{base}"),
        };
        match self.session.simple_bind(&dn, password.expose()).await {
            Ok(result) if result.rc == code::SUCCESS => {
                unavailable("an entry that cannot be there took a password")
            }
            // Whatever it has against the name, it is not of the settings.
            Ok(_) => NotIdentified::Refused,
            Err(error) => failed("the bind of nobody", &error),
        }
    }

    /// The name of the one entry that a filter finds, if it finds any.
    async fn find(&mut self, base: &str, filter: &str) -> Result<Option<String>, NotIdentified> {
        let doing = "the search for a user";
        let failed = |error: &LdapError| failed(doing, error);
        // Two are as many as it takes to know that there is not one.
        let mut stream = self
            .session
            .with_search_options(SearchOptions::new().sizelimit(2))
            .streaming_search(base, Scope::Subtree, filter, vec![NO_ATTRIBUTES])
            .await
            .map_err(|error| failed(&error))?;
        let mut found = None;
        while let Some(entry) = stream.next().await.map_err(|error| failed(&error))? {
            if is_entry(&entry) && found.replace(SearchEntry::construct(entry).dn).is_some() {
                return Err(unavailable(format!("{doing}: there is more than one")));
            }
        }
        let result = stream.finish().await;
        match (result.rc, found) {
            (code::SUCCESS, None) => Ok(None),
            // To bind with an empty name is to be nobody, and always goes well.
            (code::SUCCESS, Some(dn)) if dn.is_empty() => Err(NotIdentified::Refused),
            (code::SUCCESS, Some(dn)) => Ok(Some(dn)),
            (code::SIZE_LIMIT_EXCEEDED, _) => {
                Err(unavailable(format!("{doing}: there is more than one")))
            }
            _ => Err(failed(&LdapError::from(result))),
        }
    }

    async fn bind_as_user(&mut self, dn: &str, password: &SecretText) -> Result<(), NotIdentified> {
        let doing = "the bind of the user";
        let result = self
            .session
            .simple_bind(dn, password.expose())
            .await
            .map_err(|error| failed(doing, &error))?;
        match result.rc {
            code::SUCCESS => Ok(()),
            // Directories say the last two of accounts that are locked or whose password expired.
            code::INVALID_CREDENTIALS
            | code::NO_SUCH_OBJECT
            | code::INAPPROPRIATE_AUTHENTICATION
            | code::CONSTRAINT_VIOLATION
            | code::UNWILLING_TO_PERFORM => Err(NotIdentified::Refused),
            _ => Err(failed(doing, &LdapError::from(result))),
        }
    }

    /// What the settings ask of the user's entry, as far as it is there and is text.
    async fn attributes(&mut self, dn: &str) -> Result<Map<String, Value>, NotIdentified> {
        // An empty list would ask for all there are.
        if self.directory.attributes.is_empty() {
            return Ok(Map::new());
        }
        let doing = "reading the user's attributes";
        let (entries, _) = self
            .session
            .search(
                dn,
                Scope::Base,
                "(objectClass=*)",
                self.directory.attributes.as_slice(),
            )
            .await
            .and_then(ldap3::SearchResult::success)
            .map_err(|error| failed(doing, &error))?;
        let entry = entries
            .into_iter()
            .find(is_entry)
            .map(SearchEntry::construct)
            .ok_or_else(|| unavailable(format!("{doing}: users may not read their own entry")))?;
        let named = |(name, values): (String, Vec<String>)| (self.spelling(name), json!(values));
        Ok(entry.attrs.into_iter().map(named).collect())
    }

    /// An attribute's name as the settings write it: letters' case does not tell names apart.
    fn spelling(&self, name: String) -> String {
        let asked = &self.directory.attributes;
        let same = asked.iter().find(|it| it.eq_ignore_ascii_case(&name));
        same.cloned().unwrap_or(name)
    }
}

/// Neither a referral to another directory nor an interim message.
fn is_entry(entry: &ResultEntry) -> bool {
    !entry.is_ref() && !entry.is_intermediate()
}

/// The error's own text has no secret in it: it is of the transport, or what the directory said.
fn failed(doing: &str, error: &LdapError) -> NotIdentified {
    unavailable(format!("{doing}: {error}"))
}
