//! Counts and facts, cheap enough for every scrape of the metrics.

use sealgate_core::store::Health;

use super::readers::Readers;
use super::statement::{Columns, the_row};
use crate::failure::Failure;

/// The administrators' condition is word for word that of the partial index, which answers it.
pub const FACTS: &str = "SELECT version(), schema_version, key_count, \
     (SELECT count(*) FROM api_key WHERE is_admin = 1 AND status = 'active'), \
     user_count, (SELECT sequence FROM audit_head WHERE audit_head.one = 1) \
     FROM meta WHERE meta.one = 1";

impl Readers {
    pub async fn health(&self) -> Result<Health, Failure> {
        let rows = self.rows(FACTS, vec![]).await?;
        let mut columns = Columns::of(the_row(&rows, "meta")?);
        Ok(Health {
            engine: engine(columns.take()?),
            schema: columns.number()?,
            keys: columns.number()?,
            active_admins: columns.number()?,
            users: columns.number()?,
            audit_records: columns.number()?,
        })
    }
}

/// The engine's name and version: what stands before the system it was built for.
fn engine(version: &str) -> String {
    let end = [" (", " on ", ","];
    let end = end.iter().filter_map(|end| version.find(end)).min();
    version[..end.unwrap_or(version.len())].to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_told_by_its_name_and_version() {
        for (version, told) in [
            (
                "PostgreSQL 15.14 (Debian 15.14-0) on x86_64-pc-linux-gnu",
                "postgresql 15.14",
            ),
            (
                "PostgreSQL 17.2 on aarch64-unknown-linux-musl, compiled",
                "postgresql 17.2",
            ),
            (
                "CockroachDB CCL v24.1.0 (x86_64-linux)",
                "cockroachdb ccl v24.1.0",
            ),
        ] {
            assert_eq!(engine(version), told);
        }
    }
}
