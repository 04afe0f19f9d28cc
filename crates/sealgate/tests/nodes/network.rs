//! Nodes that are cut off from the database and from each other.

use std::time::Duration;

use super::cluster::{Cluster, PROMISE, Plan, at_last};
use super::namespace::Namespace;
use crate::postgres_server::PostgresServer;

#[test]
fn nodes_that_are_cut_off_honour_nothing_revoked_and_lose_nothing_acknowledged() {
    let middle = Namespace::new();
    let plans = (0..2).map(|number| {
        let namespace = Namespace::new();
        middle.join(&namespace, number);
        namespace
    });
    let namespaces: Vec<Namespace> = plans.collect();
    let addresses = ["10.213.0.1", "10.213.1.1"];
    let database = middle.within(|| PostgresServer::start_on(&addresses));
    let url = middle.within(|| database.database());
    let plans = namespaces.into_iter().zip(addresses);
    let plans = plans.map(|(namespace, address)| Plan {
        namespace: Some(namespace),
        ..Plan::of(&url.replace("127.0.0.1", address))
    });
    let cluster = Cluster::start_as(plans.collect());
    let key = at_last(|| cluster.create(&cluster.nodes[0]));
    cluster.nodes[1].comes_to_answer(&key, 200);

    cluster.under_load(|| {
        middle.pull_out(1);
        // Where the lock of the log was held there, it takes a while.
        at_last(|| cluster.revoke(&cluster.nodes[0], &key).then_some(()));
        std::thread::sleep(PROMISE);
        assert_eq!(cluster.nodes[1].asked(&key), Some(503));
        cluster.nodes[0].comes_to_answer(&key, 401);
        middle.pull_out(0);
        std::thread::sleep(PROMISE + Duration::from_millis(200));
        cluster.nobody_passes();
        middle.put_back(1);
        cluster.nodes[1].comes_to_answer(&key, 401);
        middle.put_back(0);
    });
    cluster.must_be_whole();
    middle.within(|| drop(database));
}
