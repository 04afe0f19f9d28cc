//! A database that stops, restarts, lets nobody in, cuts connections, or gives way to its replica.

use std::time::Duration;

use super::cluster::{Cluster, PATIENCE, PROMISE};
use crate::postgres_server::{PASSWORD, PostgresServer};
use crate::support::Stopwatch;

#[test]
fn a_stopped_database_loses_nothing_acknowledged_and_lets_nobody_pass() {
    let database = PostgresServer::start();
    let cluster = Cluster::start(&database.database());
    cluster.under_load(|| {
        database.stop_service();
        std::thread::sleep(PROMISE + Duration::from_millis(200));
        cluster.nobody_passes();
        database.resume_service();
    });
    assert!(cluster.refused() > 0, "there was hardly any load");
    cluster.must_be_whole();
}

#[test]
fn a_database_that_restarts_again_and_again_loses_nothing_acknowledged() {
    let database = PostgresServer::start();
    let cluster = Cluster::start(&database.database());
    cluster.under_load(|| {
        for _ in 0..3 {
            database.stop_service();
            database.resume_service();
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    cluster.must_be_whole();
}

#[test]
fn a_database_without_a_free_connection_lets_nobody_pass_until_it_has_one() {
    let server = PostgresServer::shared();
    server.sql(
        "postgres",
        &format!("CREATE ROLE one_of_many LOGIN PASSWORD '{PASSWORD}'"),
    );
    let url = server.database();
    let name = database_in(&url);
    server.sql(
        "postgres",
        &format!("ALTER DATABASE {name} OWNER TO one_of_many"),
    );
    let cluster = Cluster::start(&url.replace("sealgate:", "one_of_many:"));
    cluster.under_load(|| {
        // An error of the same code as where all of `max_connections` are in use.
        server.sql(
            "postgres",
            "ALTER ROLE one_of_many CONNECTION LIMIT 0; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'one_of_many'",
        );
        std::thread::sleep(PROMISE + Duration::from_millis(200));
        cluster.nobody_passes();
        let refused = cluster.run(&["list"]);
        refused.failure(1, "the database has no connection left");
        server.sql("postgres", "ALTER ROLE one_of_many CONNECTION LIMIT -1");
    });
    cluster.must_be_whole();
}

#[test]
fn connections_cut_in_the_middle_of_transactions_leave_all_of_each_or_nothing() {
    const CUTS: usize = 20;
    let server = PostgresServer::shared();
    let url = server.database();
    let name = database_in(&url);
    let cluster = Cluster::start(&url);
    // Who has an identifier of a transaction has written something, and not ended it.
    let cut = format!(
        "SELECT count(*) FROM (SELECT pid FROM pg_stat_activity WHERE datname = '{name}' \
         AND backend_xid IS NOT NULL OFFSET 0) AS writing WHERE pg_terminate_backend(pid)"
    );
    cluster.under_load(|| {
        let since = Stopwatch::start();
        let mut cuts = 0;
        while cuts < CUTS {
            cuts += server
                .sql(&name, &cut)
                .trim()
                .parse::<usize>()
                .expect("a count");
            assert!(since.elapsed() < PATIENCE, "only {cuts} were cut");
        }
    });
    cluster.must_be_whole();
}

#[test]
fn a_promoted_replica_has_all_that_was_acknowledged_and_every_node_goes_on_with_it() {
    let primary = PostgresServer::start();
    let url = primary.database();
    let replica = primary.standby();
    // Nothing is acknowledged that the replica does not have.
    primary.sql(
        "postgres",
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
    );
    primary.sql("postgres", "SELECT pg_reload_conf()");
    let since = Stopwatch::start();
    let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    while primary.sql("postgres", synchronous) != "1\n" {
        assert!(since.elapsed() < PATIENCE, "the replica does not follow");
        std::thread::sleep(Duration::from_millis(20));
    }
    let here = format!("127.0.0.1:{}", primary.port());
    let both = format!("{here},127.0.0.1:{}", replica.port());
    let cluster = Cluster::start(&url.replace(&here, &both));
    cluster.under_load(|| {
        primary.stop_service();
        replica.promote();
    });
    cluster.must_be_whole();
}

pub fn database_in(url: &str) -> String {
    let (_, name) = url.rsplit_once('/').expect("a URL with a database");
    name.to_owned()
}
