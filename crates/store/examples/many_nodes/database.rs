//! What the database itself says: the size of tables, and the processor time of its processes.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::Outcome;

/// Clock ticks a second, as `/proc` counts them on Linux.
const TICKS: f64 = 100.0;

pub struct Database {
    connection: PgConnection,
    /// The process that all others of the server are children of.
    server: String,
}

impl Database {
    pub async fn connect(url: &str) -> Outcome<Self> {
        let mut connection = PgConnection::connect(url).await?;
        let row = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut connection);
        let backend: i32 = row.await?.get(0);
        let stat = std::fs::read_to_string(format!("/proc/{backend}/stat"))?;
        let server = fields(&stat).nth(1).ok_or("no parent")?.to_owned();
        Ok(Self { connection, server })
    }

    /// What the server's processes have used so far, those that ended included, in seconds.
    pub fn processor_time(&self) -> Outcome<f64> {
        let mut ticks = 0.0;
        for entry in std::fs::read_dir("/proc")? {
            let path = entry?.path().join("stat");
            // It may have ended meanwhile.
            let Ok(stat) = std::fs::read_to_string(path) else {
                continue;
            };
            let fields: Vec<&str> = fields(&stat).collect();
            let number = |place: usize| fields[place].parse::<f64>().unwrap_or(0.0);
            if stat.starts_with(&format!("{} (", self.server)) {
                // Of its children that ended.
                ticks += number(11) + number(12) + number(13) + number(14);
            } else if fields[1] == self.server {
                ticks += number(11) + number(12);
            }
        }
        Ok(ticks / TICKS)
    }

    /// The bytes of a table, and of all its indexes.
    pub async fn size(&mut self, table: &str) -> Outcome<(i64, i64)> {
        let sql = format!("SELECT pg_table_size('{table}'), pg_indexes_size('{table}')");
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut self.connection);
        let row = row.await?;
        Ok((row.get(0), row.get(1)))
    }

    /// Brings everything to rest, so that one measurement does not pay for the one before.
    pub async fn settle(&mut self) -> Outcome<()> {
        for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
            sqlx::raw_sql(statement)
                .execute(&mut self.connection)
                .await?;
        }
        Ok(())
    }
}

/// The fields of a process after its name, which may hold anything: state, parent, …
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    let after = stat.rfind(')').map_or("", |end| &stat[end + 1..]);
    after.split_ascii_whitespace()
}
