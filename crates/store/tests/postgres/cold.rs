//! What a key costs the database that a server has never heard of, as the database itself counts it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sealgate_core::authority::{Authority, Caller, Credential, Settings};
use sealgate_core::clock::{Clock, ManualClock};
use sealgate_core::random::SystemRandom;
use sealgate_core::request::KeyRequest;
use sealgate_core::store::Store;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use crate::conformance::{BIRTH, master};
use crate::open;
use crate::postgres_server::PostgresServer;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const BY_PREFIX: &str = "FROM api_key WHERE prefix = ANY(string_to_array($1, ','))";
const BY_ID: &str = "FROM api_key WHERE id = ANY(string_to_array($1, ','))";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_the_feed_has_not_brought_yet_costs_one_query_however_many_present_it() {
    let mut database = Counting::start().await;
    let (server, elsewhere) = (database.process().await, database.process().await);
    server.load_keys().await.unwrap();
    for times in [1, 1_000] {
        let key = key(&elsewhere).await;
        assert_eq!(
            database.asked_for(&server, &key, times).await,
            once(BY_PREFIX)
        );
        assert_eq!(database.asked_for(&server, &key, times).await, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn before_the_keys_are_loaded_a_key_costs_one_query_however_many_present_it() {
    let mut database = Counting::start().await;
    let elsewhere = database.process().await;
    let (one, other) = (key(&elsewhere).await, key(&elsewhere).await);
    let server = database.process().await;
    for (key, times) in [(one, 1), (other, 1_000)] {
        assert_eq!(
            database.asked_for(&server, &key, times).await,
            once(BY_PREFIX)
        );
        assert_eq!(database.asked_for(&server, &key, times).await, []);
    }
    assert!(!server.is_loaded());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_of_a_key_that_is_not_known_yet_costs_one_query_however_many_present_it() {
    let mut database = Counting::start().await;
    let (server, elsewhere) = (database.process().await, database.process().await);
    for times in [1, 1_000] {
        let token = token(&elsewhere).await;
        assert_eq!(
            database.asked_for(&server, &token, times).await,
            once(BY_ID)
        );
        assert_eq!(database.asked_for(&server, &token, times).await, []);
    }
}

/// What a client presents.
enum Presented {
    Key(String),
    Token(String),
}

impl Presented {
    fn credential(&self) -> Credential<'_> {
        match self {
            Self::Key(text) => Credential::Key(text),
            Self::Token(text) => Credential::Bearer(text),
        }
    }
}

async fn key(authority: &Authority) -> Arc<Presented> {
    let request = KeyRequest {
        name: "cold".to_owned(),
        permissions: Some("api:read".to_owned()),
        ..KeyRequest::default()
    };
    let tester = Caller::command_line("tester");
    let created = authority.create(request, &tester).await.unwrap();
    Arc::new(Presented::Key(created.api_key.expose().to_owned()))
}

async fn token(authority: &Authority) -> Arc<Presented> {
    let key = key(authority).await;
    let identity = authority
        .authenticate(key.credential(), HERE)
        .await
        .unwrap();
    let tester = Caller::command_line("tester");
    let grant = authority.exchange(&identity, &tester).await.unwrap();
    Arc::new(Presented::Token(grant.token.expose().to_owned()))
}

fn once(statement: &str) -> [(String, i64); 1] {
    [(statement.to_owned(), 1)]
}

/// A server of PostgreSQL that counts the statements it runs.
struct Counting {
    url: String,
    counts: PgConnection,
    /// Dropped last, which ends it.
    _server: PostgresServer,
}

impl Counting {
    async fn start() -> Self {
        let server = PostgresServer::start();
        let load = "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'";
        server.sql("postgres", load);
        server.stop_service();
        server.resume_service();
        server.sql("postgres", "CREATE EXTENSION pg_stat_statements");
        let counts = PgConnection::connect(&server.url("postgres")).await;
        Self {
            url: server.database(),
            counts: counts.unwrap(),
            _server: server,
        }
    }

    /// A process that serves, and follows nothing by itself.
    async fn process(&self) -> Arc<Authority> {
        let store: Arc<dyn Store> = Arc::new(open(&self.url, true, &master()).await.unwrap());
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(BIRTH));
        let (random, settings) = (Arc::new(SystemRandom), Settings::default());
        let authority = Authority::new(store, clock, random, &master(), settings);
        authority.start().await.unwrap();
        Arc::new(authority)
    }

    /// What the database is asked while so many present a credential at once: each statement from its
    /// `FROM` on, and how often.
    async fn asked_for(
        &mut self,
        server: &Arc<Authority>,
        presented: &Arc<Presented>,
        times: usize,
    ) -> Vec<(String, i64)> {
        let reset = sqlx::query("SELECT pg_stat_statements_reset()");
        reset.execute(&mut self.counts).await.unwrap();
        let presenting = (0..times).map(|_| {
            let (server, presented) = (Arc::clone(server), Arc::clone(presented));
            tokio::spawn(async move {
                let verified = server.authenticate(presented.credential(), HERE).await;
                verified.unwrap();
            })
        });
        for task in presenting.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let database = self.url.rsplit('/').next().unwrap();
        let counted = sqlx::query(
            "SELECT substring(query from 'FROM .*'), calls FROM pg_stat_statements AS counted \
             JOIN pg_database ON oid = dbid WHERE datname = $1 ORDER BY counted.query",
        );
        let counted = counted.bind(database).fetch_all(&mut self.counts).await;
        let rows = counted.unwrap();
        let statements = rows.iter().map(|row| {
            // Constants are parameters in statements that were parsed since the counting began.
            let statement: String = row.get(0);
            (statement.replace("$2", "','"), row.get(1))
        });
        statements.collect()
    }
}
