//! Keys with a limit, which all nodes count together.

use std::time::Duration;

use rustix::process::Signal;

use super::clocks::half_a_minute_ahead;
use super::cluster::{Cluster, Node, Plan, at_last};
use crate::postgres_server::PostgresServer;
use crate::redis_server::RedisServer;
use crate::support::{Home, Key, Server};

/// Nothing of it comes back during a test.
const LIMIT: &str = "30/720h";
const REQUESTS: usize = 30;

/// How many of so many requests, one after the other, a node lets through.
fn passed(node: &Node, key: &Key, asked: usize) -> usize {
    let statuses = (0..asked).map(|_| node.asked(key).expect("an answer"));
    let passes = statuses.filter(|status| match status {
        200 => true,
        429 | 503 => false,
        other => panic!("{other}"),
    });
    passes.count()
}

/// How many of so many requests to each of the nodes at the same time are let through.
fn passed_at_once(nodes: &[Node], key: &Key, asked: usize) -> usize {
    std::thread::scope(|scope| {
        let asking: Vec<_> = nodes
            .iter()
            .flat_map(|node| [node, node])
            .map(|node| scope.spawn(move || passed(node, key, asked / 2)))
            .collect();
        let passed = asking.into_iter();
        passed.map(|passed| passed.join().expect("answers")).sum()
    })
}

/// Tries something with a new key, until every question about limits was answered in time meanwhile, which
/// a busy machine may prevent.
fn undisturbed<T>(cluster: &Cluster, nodes: &[Node], trial: impl Fn(Key) -> T) -> T {
    at_last(|| {
        let before = failures(nodes);
        let outcome = trial(cluster.create_limited(LIMIT));
        (failures(nodes) == before).then_some(outcome)
    })
}

/// How often questions about limits were not answered.
fn failures(nodes: &[Node]) -> Vec<String> {
    // They are told twice a second.
    std::thread::sleep(Duration::from_millis(1_200));
    let told = nodes.iter().map(|node| {
        let metrics = node.server.get("/metrics").send().expect(200).body;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("sealgate_limit_failures_total "));
        line.expect("it is told").to_owned()
    });
    told.collect()
}

/// What passes once all that is held has come back.
fn rest(nodes: &[Node], key: &Key) -> usize {
    std::thread::sleep(Duration::from_secs(3));
    passed(&nodes[0], key, 2 * REQUESTS)
}

#[test]
fn a_limit_holds_for_all_nodes_together_though_their_clocks_differ_and_one_is_killed() {
    let url = PostgresServer::shared().database();
    let ahead = Plan {
        variables: half_a_minute_ahead(),
        ..Plan::of(&url)
    };
    let mut cluster = Cluster::start_as(vec![Plan::of(&url), ahead, Plan::of(&url)]);
    let nodes = &cluster.nodes;
    let (in_turn, more) = undisturbed(&cluster, nodes, |key| {
        let turns = (0..REQUESTS / 3).flat_map(|_| nodes);
        let in_turn: usize = turns.map(|node| passed(node, &key, 1)).sum();
        (in_turn, rest(nodes, &key))
    });
    assert!(in_turn >= REQUESTS - 5, "{in_turn}");
    assert_eq!(in_turn + more, REQUESTS);

    let (at_once, more) = undisturbed(&cluster, nodes, |key| {
        (passed_at_once(nodes, &key, 40), rest(nodes, &key))
    });
    assert!(at_once >= REQUESTS - 10, "{at_once}");
    assert_eq!(at_once + more, REQUESTS);

    let (at_a_single, more) = undisturbed(&cluster, nodes, |key| {
        (passed(&nodes[1], &key, 50), passed_at_once(nodes, &key, 10))
    });
    assert_eq!((at_a_single, more), (REQUESTS, 0));

    let (key, at_the_killed) = undisturbed(&cluster, nodes, |key| {
        let passed = passed(&nodes[2], &key, 10);
        (key, passed)
    });
    let again = passed(&cluster.nodes[2], &key, 5);
    let killed = cluster.nodes.pop().expect("three nodes");
    killed.server.signal(Signal::KILL);
    killed.server.wait();
    let others = passed_at_once(&cluster.nodes, &key, 60);
    // What it held is lost, which is never more than an eighth of what there was.
    let all = at_the_killed + again + others;
    assert!((REQUESTS - 4..=REQUESTS).contains(&all), "{all}");
    cluster.must_be_whole();
}

#[test]
fn a_limit_that_redis_counts_is_exact_and_without_redis_a_setting_says_what_happens() {
    let mut redis = RedisServer::start();
    let url = PostgresServer::shared().database();
    let plan = |when: &str| Plan {
        variables: vec![
            ("SEALGATE_LIMITS_REDIS_URL", redis.url()),
            ("SEALGATE_LIMITS_WHEN_UNAVAILABLE", when.to_owned()),
        ],
        ..Plan::of(&url)
    };
    let cluster = Cluster::start_as(vec![plan("open"), plan("open"), plan("closed")]);
    let nodes = &cluster.nodes;
    let all_at_once = || {
        undisturbed(&cluster, nodes, |key| {
            let first = passed_at_once(nodes, &key, 40);
            (first, passed_at_once(nodes, &key, 4))
        })
    };
    assert_eq!(all_at_once(), (REQUESTS, 0));

    redis.stop_service();
    let key = cluster.create_limited(LIMIT);
    for open in &nodes[..2] {
        assert_eq!(passed(open, &key, 40), REQUESTS, "by itself");
    }
    let closed = &nodes[2];
    let refused = closed.server.get("/api/auth/verify").api_key(&key.api_key);
    let refused = refused.send().expect(503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let refused = closed.server.post("/api/auth/token").api_key(&key.api_key);
    let refused = refused.send().expect(503).json();
    let message = "rate limits cannot be checked at the moment";
    assert_eq!(refused["message"], message, "{refused}");
    assert_eq!(closed.asked(&cluster.admin), Some(200), "it has no limit");
    for node in nodes {
        shows(node, "sealgate_limits_shared 0");
    }

    redis.resume_service();
    for node in nodes {
        shows(node, "sealgate_limits_shared 1");
    }
    assert_eq!(all_at_once(), (REQUESTS, 0));
    cluster.must_be_whole();
}

/// Waits until a line is among a node's metrics.
#[track_caller]
fn shows(node: &Node, line: &str) {
    at_last(|| {
        let metrics = node.server.get("/metrics").send().expect(200).body;
        metrics.lines().any(|one| one == line).then_some(())
    });
}

#[test]
fn redis_may_speak_tls_and_the_store_be_a_file() {
    let redis = RedisServer::start_with_tls();
    let home = Home::new();
    let url = home.write("redis.url", &redis.url());
    let key = home.create_key(&["--name", "limited", "--rate-limit", "5/720h"]);
    let server = Server::start_with(&home, |command| {
        command
            .env("SEALGATE_LIMITS_REDIS_URL_FILE", url)
            .env("SEALGATE_LIMITS_WHEN_UNAVAILABLE", "closed")
            .env("SSL_CERT_FILE", redis.certificate());
    });
    let verify = || server.get("/api/auth/verify").api_key(&key.api_key).send();
    for _ in 0..5 {
        verify().expect(200);
    }
    verify().expect(429);
}
