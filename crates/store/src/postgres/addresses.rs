//! The table of networks from which somebody logged in to an account. They are personal data: no more
//! are kept than needed, and none of a user that was removed.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::KNOWN_ADDRESSES;

use super::error::Fault;
use super::readers::Readers;
use super::statement::{Columns, execute};
use super::transaction::Transaction;
use crate::failure::Failure;

pub const NEWEST: &str = "SELECT network FROM known_address WHERE account = $1 \
     ORDER BY at DESC, network DESC LIMIT $2";

const KNOW: &str = "INSERT INTO known_address (account, network, at) VALUES ($1, $2, $3) \
     ON CONFLICT (account, network) DO UPDATE SET at = CASE \
     WHEN known_address.at < excluded.at THEN excluded.at ELSE known_address.at END";

pub const KEEP_NEWEST: &str = "DELETE FROM known_address WHERE account = $1 AND network NOT IN \
     (SELECT network FROM known_address WHERE account = $1 \
     ORDER BY at DESC, network DESC LIMIT $2)";

pub const FORGET: &str = "DELETE FROM known_address WHERE account = $1";

pub const FORGET_OF_USER: &str = "DELETE FROM known_address WHERE account = \
     (SELECT username_folded FROM user_account WHERE id = $1)";

impl Readers {
    pub async fn known_addresses(&self, account: &str) -> Result<Vec<String>, Failure> {
        let values = vec![account.into(), KNOWN_ADDRESSES.into()];
        let rows = self.rows(NEWEST, values).await?;
        rows.iter().map(|row| Columns::of(row).take()).collect()
    }
}

impl Transaction<'_> {
    pub async fn know_address(
        &mut self,
        account: &str,
        network: &str,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let values = vec![account.into(), network.into(), at.into()];
        execute(self.connection, KNOW, values).await?;
        let values = vec![account.into(), KNOWN_ADDRESSES.into()];
        execute(self.connection, KEEP_NEWEST, values).await?;
        Ok(())
    }

    pub async fn forget_addresses(&mut self, account: &str) -> Result<(), Fault> {
        execute(self.connection, FORGET, vec![account.into()]).await?;
        Ok(())
    }

    /// Forgets those of a user that is about to be removed.
    pub async fn forget_addresses_of_user(&mut self, id: &str) -> Result<(), Fault> {
        execute(self.connection, FORGET_OF_USER, vec![id.into()]).await?;
        Ok(())
    }
}
