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
        429 => false,
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

/// Uses up what some node still held, and finds that there is no more.
fn use_up(nodes: &[Node], key: &Key, mut so_far: usize) {
    at_last(|| {
        so_far += nodes.iter().map(|node| passed(node, key, 2)).sum::<usize>();
        (so_far >= REQUESTS).then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    so_far += passed_at_once(nodes, key, 10);
    assert_eq!(so_far, REQUESTS);
}

#[test]
fn a_limit_holds_for_all_nodes_together_though_their_clocks_differ_and_one_is_killed() {
    let url = PostgresServer::shared().database();
    let ahead = Plan {
        variables: half_a_minute_ahead(),
        ..Plan::of(&url)
    };
    let mut cluster = Cluster::start_as(vec![Plan::of(&url), ahead, Plan::of(&url)]);
    let in_turn = cluster.create_limited(LIMIT);
    let mut so_far = 0;
    for _ in 0..REQUESTS / 3 {
        so_far += cluster
            .nodes
            .iter()
            .map(|node| passed(node, &in_turn, 1))
            .sum::<usize>();
    }
    assert!(so_far >= REQUESTS - 5, "{so_far}");
    use_up(&cluster.nodes, &in_turn, so_far);

    let together = cluster.create_limited(LIMIT);
    let so_far = passed_at_once(&cluster.nodes, &together, 40);
    assert!((20..=REQUESTS).contains(&so_far), "{so_far}");
    use_up(&cluster.nodes, &together, so_far);

    let at_a_single = cluster.create_limited(LIMIT);
    assert_eq!(passed(&cluster.nodes[1], &at_a_single, 50), REQUESTS);
    assert_eq!(passed_at_once(&cluster.nodes, &at_a_single, 10), 0);

    let at_a_killed = cluster.create_limited(LIMIT);
    let so_far = passed(&cluster.nodes[2], &at_a_killed, 10);
    let killed = cluster.nodes.pop().expect("three nodes");
    killed.server.signal(Signal::KILL);
    killed.server.wait();
    let rest = passed_at_once(&cluster.nodes, &at_a_killed, 60);
    // What it held is lost, which is never more than an eighth of what there was.
    assert!(
        (REQUESTS - 4..=REQUESTS).contains(&(so_far + rest)),
        "{so_far} {rest}"
    );
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
    let exactly = |key: &Key| {
        assert_eq!(passed_at_once(&cluster.nodes, key, 40), REQUESTS);
        assert_eq!(passed_at_once(&cluster.nodes, key, 4), 0);
    };
    exactly(&cluster.create_limited(LIMIT));

    redis.stop_service();
    let key = cluster.create_limited(LIMIT);
    let [one, other, closed] = &*cluster.nodes else {
        panic!("three nodes");
    };
    for open in [one, other] {
        assert_eq!(passed(open, &key, 40), REQUESTS, "by itself");
    }
    let refused = closed.server.get("/api/auth/verify").api_key(&key.api_key);
    let refused = refused.send().expect(503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let refused = closed.server.post("/api/auth/token").api_key(&key.api_key);
    let refused = refused.send().expect(503).json();
    let message = "rate limits cannot be checked at the moment";
    assert_eq!(refused["message"], message, "{refused}");
    assert_eq!(closed.asked(&cluster.admin), Some(200), "it has no limit");
    for node in &cluster.nodes {
        shows(node, "sealgate_limits_shared 0");
    }

    redis.resume_service();
    for node in &cluster.nodes {
        shows(node, "sealgate_limits_shared 1");
    }
    exactly(&cluster.create_limited(LIMIT));
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
