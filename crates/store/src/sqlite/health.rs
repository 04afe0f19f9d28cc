//! Counts and facts, cheap enough for every scrape of the metrics.

use sealgate_core::store::Health;

use super::Readers;
use super::error::Failure;
use super::statement::Columns;

/// The administrators' condition is word for word that of the partial index, which answers it.
pub const FACTS: &str = "SELECT sqlite_version(), schema_version, key_count, \
     (SELECT count(*) FROM api_key WHERE is_admin = 1 AND status = 'active'), \
     user_count, (SELECT sequence FROM audit_head WHERE audit_head.only = 1) \
     FROM meta WHERE meta.only = 1";

impl Readers {
    pub async fn health(&self) -> Result<Health, Failure> {
        let row = sqlx::query(FACTS).fetch_one(&self.pool).await?;
        let mut columns = Columns::of(&row);
        Ok(Health {
            engine: format!("sqlite {}", columns.take::<&str>()?),
            schema: columns.number()?,
            keys: columns.number()?,
            active_admins: columns.number()?,
            users: columns.number()?,
            audit_records: columns.number()?,
        })
    }
}
