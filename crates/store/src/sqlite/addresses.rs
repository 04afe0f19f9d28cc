//! The table of networks from which somebody logged in to an account. They are personal data: no more
//! are kept than needed, and none of a user that was removed.

use sealgate_core::clock::Timestamp;
use sealgate_core::store::KNOWN_ADDRESSES;

use super::Readers;
use super::error::Failure;
use super::statement::Columns;
use super::transaction::Transaction;

pub const NEWEST: &str = "SELECT network FROM known_address WHERE account = ? \
     ORDER BY at DESC, network DESC LIMIT ?";

const KNOW: &str = "INSERT INTO known_address (account, network, at) VALUES (?, ?, ?) \
     ON CONFLICT (account, network) DO UPDATE SET at = CASE \
     WHEN known_address.at < excluded.at THEN excluded.at ELSE known_address.at END";

pub const KEEP_NEWEST: &str = "DELETE FROM known_address WHERE account = ? AND network NOT IN \
     (SELECT network FROM known_address WHERE account = ? \
     ORDER BY at DESC, network DESC LIMIT ?)";

pub const FORGET: &str = "DELETE FROM known_address WHERE account = ?";

pub const FORGET_OF_USER: &str = "DELETE FROM known_address WHERE account = \
     (SELECT username_folded FROM user_account WHERE id = ?)";

impl Readers {
    pub async fn known_addresses(&self, account: &str) -> Result<Vec<String>, Failure> {
        let rows = sqlx::query(NEWEST)
            .bind(account)
            .bind(KNOWN_ADDRESSES)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Columns::of(row).take()).collect()
    }
}

impl Transaction<'_> {
    pub async fn know_address(
        &mut self,
        account: &str,
        network: &str,
        at: Timestamp,
    ) -> Result<(), Failure> {
        sqlx::query(KNOW)
            .bind(account.to_owned())
            .bind(network.to_owned())
            .bind(at.as_millis())
            .execute(&mut *self.connection)
            .await?;
        sqlx::query(KEEP_NEWEST)
            .bind(account.to_owned())
            .bind(account.to_owned())
            .bind(KNOWN_ADDRESSES)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    pub async fn forget_addresses(&mut self, account: &str) -> Result<(), Failure> {
        sqlx::query(FORGET)
            .bind(account.to_owned())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// Forgets those of a user that is about to be removed.
    pub async fn forget_addresses_of_user(&mut self, id: &str) -> Result<(), Failure> {
        sqlx::query(FORGET_OF_USER)
            .bind(id.to_owned())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}
