//! What a transaction of the writer has at hand. What it can do stands with the tables it does it
//! to: [`keys`](super::keys), [`log`](super::log), [`uses`](super::uses), …

use sealgate_core::audit::Chain;
use sealgate_core::random::Random;
use sealgate_core::store::{Change, Commit};
use sqlx::postgres::PgConnection;

use super::error::Fault;
use crate::cipher::ColumnCipher;
use crate::row::audit::End;

/// An open transaction.
pub struct Transaction<'w> {
    /// The connection it is open on.
    pub connection: &'w mut PgConnection,
    /// Encrypts what must not be read in the database.
    pub cipher: &'w ColumnCipher,
    /// Links audit records.
    pub chain: &'w Chain,
    /// Draws the marks of the feed.
    pub random: &'w dyn Random,
    /// Where the log and the feed end.
    pub head: Head,
}

/// Where the audit log and the change feed end, with what is written or about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last audit record.
    pub log: End,
    /// The last row of the change feed.
    pub feed: i64,
}

impl Head {
    /// The ends of an empty log and an empty feed.
    pub const START: Self = Self {
        log: End::START,
        feed: 0,
    };
}

impl Transaction<'_> {
    /// Makes the changes of a commit, their rows in the change feed and their audit records.
    pub async fn commit(&mut self, commit: &Commit) -> Result<(), Fault> {
        let inserts = |change: &Change| matches!(change, Change::InsertKey(_));
        for run in commit
            .changes
            .chunk_by(|one, next| inserts(one) && inserts(next))
        {
            self.change(run).await?;
        }
        self.feed(&commit.changes).await?;
        self.append(&commit.events).await
    }

    /// Makes one change, or the insertion of many keys at once.
    async fn change(&mut self, run: &[Change]) -> Result<(), Fault> {
        let Some(change) = run.first() else {
            return Ok(());
        };
        match change {
            Change::InsertKey(_) => self.insert_keys(run).await,
            Change::UpdateKey(key) => self.update_key(key).await,
            Change::InsertDataKey(key) => self.insert_data_key(key).await,
            Change::InsertSigningKey(key) => self.insert_signing_key(key).await,
            Change::RetireSigningKeys { verify_until } => {
                self.retire_signing_keys(*verify_until).await
            }
            Change::RemoveSigningKeys { now } => self.remove_signing_keys(*now).await,
            Change::InsertUser(user) => self.insert_user(user).await,
            Change::UpdateUser(user) => self.update_user(user).await,
            Change::RemoveUser { id, version } => self.remove_user(*id, *version).await,
            Change::NoteLogin { id, epoch, at } => self.note_login(*id, *epoch, *at).await,
            Change::KnowAddress {
                account,
                network,
                at,
            } => self.know_address(account, network, *at).await,
            Change::ForgetAddresses { account } => self.forget_addresses(account).await,
            Change::Revoke(revocation) => self.revoke(revocation).await,
            Change::InsertSessionKey(key) => self.insert_session_key(key).await,
            Change::RetireSessionKeys { verify_until } => {
                self.retire_session_keys(*verify_until).await
            }
            Change::RemoveSessionKeys { now } => self.remove_session_keys(*now).await,
        }
    }
}
