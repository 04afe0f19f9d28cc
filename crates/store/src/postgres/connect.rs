//! Where the database is, and how a connection to it is made and set up.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sealgate_core::store::StoreError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::time::timeout;
use url::Url;

use super::error::{Fault, STANDBY};
use crate::failure::Failure;

/// How long one server may take to let a connection in, unless that is more than its share of the patience.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long whoever asks waits for the answer, whatever became of the server or the network. The server
/// itself ends what takes two thirds of that, or waits for a lock for a third of it, so that nothing is
/// held by a process that is gone.
const PATIENCE: Duration = Duration::from_secs(15);

/// After how long the server takes a process that counts uses for gone, in the middle of it.
const IDLE_COUNTING: Duration = Duration::from_secs(2);

/// Waits for the disk at each commit, should the database be set up not to.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit', true) = 'off'";

/// The parameters of a URL that count. Others would be logged with their values.
const PARAMETERS: [&str; 9] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "user",
    "password",
    "application_name",
    "options",
];

/// The connections that read, unless set otherwise.
pub const READERS: u32 = 8;

/// Where a database on PostgreSQL is.
#[derive(Clone)]
pub struct PostgresOptions {
    /// One for each server, in the order in which they are tried at first.
    servers: Vec<PgConnectOptions>,
    /// The server that let a connection in last, which is tried first: one whose machine is gone costs
    /// time.
    last_good: Arc<AtomicUsize>,
    readers: u32,
    patience: Duration,
    /// After how long the server ends a transaction in which nothing happens.
    idle: Duration,
}

impl PostgresOptions {
    /// Reads a connection URL, `postgres://user:password@host:port/database?sslmode=verify-full`. It may
    /// name several servers, `host1:port1,host2:port2`: the first that takes writes is used.
    ///
    /// What it does not say is taken from the environment and the password file, as `libpq` does:
    /// `PGPASSWORD`, `PGPASSFILE` and so on.
    ///
    /// # Errors
    /// If it is no such URL. The message shows nothing of it, since a password may be anywhere in it.
    pub fn parse(url: &str) -> Result<Self, NotAUrl> {
        let servers = split_servers(url).ok_or(NotAUrl)?;
        let servers = servers.iter().map(|url| {
            let url = Url::parse(url).map_err(|_| NotAUrl)?;
            let mut parameters = url.query_pairs();
            if parameters.any(|(name, _)| !PARAMETERS.contains(&&*name)) {
                return Err(NotAUrl);
            }
            let options = PgConnectOptions::from_url(&url).map_err(|_| NotAUrl)?;
            let options = match options.get_application_name() {
                Some(_) => options,
                None => options.application_name("sealgate"),
            };
            // No number here is a fraction, and a pool of connections may not know the parameter.
            let options = options.extra_float_digits(None);
            Ok(options.disable_statement_logging())
        });
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            last_good: Arc::default(),
            readers: READERS,
            patience: PATIENCE,
            idle: PATIENCE * 2 / 3,
        })
    }

    /// At most so many connections read at the same time, at least one.
    #[must_use]
    pub fn with_readers(self, readers: u32) -> Self {
        let readers = readers.max(1);
        Self { readers, ..self }
    }

    /// An answer is waited for so long, at least three milliseconds.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        let idle = patience * 2 / 3;
        Self {
            patience,
            idle,
            ..self
        }
    }

    /// For connections that count uses. They lock rows of keys, which a change of one of them waits for.
    pub(super) fn for_counts(self) -> Self {
        let idle = self.idle.min(IDLE_COUNTING);
        Self { idle, ..self }
    }

    /// How long an answer is waited for.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether nobody between here and the servers can read what is sent, or take their place.
    pub fn is_private(&self) -> bool {
        let is_here = |server: &PgConnectOptions| {
            let address = server.get_host().parse::<IpAddr>();
            server.get_socket().is_some()
                || server.get_host() == "localhost"
                || address.is_ok_and(|address| address.is_loopback())
        };
        let is_verified =
            |server: &PgConnectOptions| matches!(server.get_ssl_mode(), PgSslMode::VerifyFull);
        let servers = self.servers.iter();
        servers
            .into_iter()
            .all(|server| is_here(server) || is_verified(server))
    }

    /// At most so many connections that read.
    pub(super) const fn readers(&self) -> u32 {
        self.readers
    }

    /// The options of each server.
    pub(super) fn servers(&self) -> &[PgConnectOptions] {
        &self.servers
    }

    /// Connects to the first server that takes writes, the last good one before the others.
    pub(crate) async fn connect(&self) -> Result<PgConnection, Failure> {
        let mut refusal = Failure::unavailable("no server is named");
        let count = self.servers.len();
        let share = CONNECT_TIMEOUT.min(self.patience / u32::try_from(count).unwrap_or(1).max(1));
        let begin = self.last_good.load(Ordering::Relaxed);
        let numbered = self.servers.iter().enumerate().cycle();
        for (number, server) in numbered.skip(begin).take(count) {
            match timeout(share, self.connect_to(server)).await {
                Ok(Ok(connection)) => {
                    self.last_good.store(number, Ordering::Relaxed);
                    return Ok(connection);
                }
                Ok(Err(fault)) => refusal = fault.into_failure(),
                Err(_) => refusal = Failure::unavailable("the database did not answer in time"),
            }
        }
        let Failure(error) = refusal;
        Err(match error {
            StoreError::Unavailable(why) => Failure::unavailable(format!("{self}: {why}")),
            other => other.into(),
        })
    }

    async fn connect_to(&self, server: &PgConnectOptions) -> Result<PgConnection, Fault> {
        let mut connection = server.connect().await?;
        let third = self.patience.as_millis() / 3;
        let set_up = format!(
            "SET statement_timeout = {}; SET lock_timeout = {third}; \
             SET idle_in_transaction_session_timeout = {}; {DURABLE}; SHOW transaction_read_only",
            2 * third,
            self.idle.as_millis()
        );
        let set_up = sqlx::raw_sql(AssertSqlSafe(set_up));
        let answers = set_up.fetch_all(&mut connection).await?;
        let is_read_only: Option<String> = answers.last().map(|row| row.try_get(0)).transpose()?;
        if is_read_only.as_deref() == Some("on") {
            close(connection).await;
            return Err(Failure::unavailable(STANDBY).into());
        }
        Ok(connection)
    }

    /// What the server answers, unless that takes too long.
    pub(super) async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let late = |_| Failure::unavailable("the database did not answer in time");
        timeout(self.patience, asked).await.map_err(late)?
    }
}

/// Says goodbye to the server, which would log a warning otherwise.
pub async fn close(connection: PgConnection) {
    let _ = timeout(CONNECT_TIMEOUT, connection.close()).await;
}

/// Where the servers are and which database it is; neither user nor password.
impl fmt::Display for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, server) in self.servers.iter().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            match server.get_socket() {
                Some(socket) => write!(f, "{}", socket.display())?,
                None => write!(f, "{}:{}", server.get_host(), server.get_port())?,
            }
        }
        match self
            .servers
            .first()
            .and_then(PgConnectOptions::get_database)
        {
            Some(database) => write!(f, ", database {database}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresOptions({self})")
    }
}

/// The text is no URL of a database.
#[derive(Debug, thiserror::Error)]
#[error(
    "the database's URL is not of the form postgres://user:password@host:port/database, or has a parameter \
     that is not known; what is special in a password is percent-encoded"
)]
pub struct NotAUrl;

/// A URL for each server that one with several names.
fn split_servers(url: &str) -> Option<Vec<String>> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // Then it began in the middle of a password, the rest of which is not to be taken for a name.
    if path.contains('@') {
        return None;
    }
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let servers = hosts.split(',');
    Some(
        servers
            .map(|host| format!("{scheme}://{user}{host}{path}"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        PostgresOptions::parse(url).unwrap().to_string()
    }

    #[test]
    fn a_url_may_name_several_servers() {
        let one = "postgres://ada:secret@db.example:6543/keys?sslmode=require";
        assert_eq!(shown(one), "db.example:6543, database keys");
        let two = "postgresql://ada:secret@one.example,two.example:6543/keys";
        assert_eq!(
            shown(two),
            "one.example:5432, two.example:6543, database keys"
        );
        let socket = "postgres://ada@%2Frun%2Fpostgresql/keys";
        assert_eq!(shown(socket), "/run/postgresql, database keys");
    }

    #[test]
    fn what_leaves_this_machine_is_private_if_the_server_proves_itself() {
        let is_private = |url: &str| PostgresOptions::parse(url).unwrap().is_private();
        assert!(is_private("postgres://ada@127.0.0.1/d"));
        assert!(is_private("postgres://ada@localhost/d"));
        assert!(is_private("postgres://ada@%2Frun/d"));
        assert!(is_private("postgres://ada@db/d?sslmode=verify-full"));
        for mode in ["prefer", "require", "verify-ca"] {
            assert!(!is_private(&format!("postgres://ada@db/d?sslmode={mode}")));
        }
    }

    #[test]
    fn neither_a_refusal_nor_the_options_show_a_password() {
        let options = PostgresOptions::parse("postgres://ada:s3cret@h/d").unwrap();
        assert!(!format!("{options:?} {options}").contains("s3cret"));
        for wrong in [
            "s3cret",
            "mysql://ada:s3cret@h/d",
            "postgres://ada:s3cret@h:s3cret/d",
            "postgres://ada:s3cret@h/d?sslmode=s3cret",
            "postgres://ada:12/s3cret@h/d",
            "postgres://ada:12?s3cret@h/d",
            "postgres://ada@h/d?sslpassword=s3cret",
            "postgres://ada@h/d?statement-cache-capacity=0",
        ] {
            let refusal = PostgresOptions::parse(wrong).unwrap_err();
            assert!(
                !format!("{refusal} {refusal:?}").contains("s3cret"),
                "{wrong}"
            );
        }
    }
}
