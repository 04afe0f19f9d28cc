//! Nodes that stand still for a while and do not know it.

use std::time::Duration;

use rustix::process::Signal;

use super::cluster::{Cluster, PROMISE, at_last};
use crate::postgres_server::PostgresServer;

/// One is a little longer than what a node may not know of, and one is longer than all that waits for it.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(1_200),
    Duration::from_millis(1_200),
    Duration::from_mins(1),
];

#[test]
fn a_paused_node_answers_nothing_with_yes_that_was_revoked_meanwhile() {
    const ASKED: usize = 8;
    let cluster = Cluster::start(&PostgresServer::shared().database());
    cluster.under_load(|| {
        for pause in PAUSES {
            let [first, paused, last] = &*cluster.nodes else {
                panic!("three nodes");
            };
            let key = at_last(|| cluster.create(first));
            paused.comes_to_answer(&key, 200);
            last.comes_to_answer(&key, 200);
            paused.server.signal(Signal::STOP);
            // Where it held the lock of the log, that takes a while.
            at_last(|| cluster.revoke(first, &key).then_some(()));
            assert!(last.comes_to_answer(&key, 401) < PROMISE);
            std::thread::sleep(pause);
            std::thread::scope(|scope| {
                let asked = [(); ASKED].map(|()| scope.spawn(|| paused.asked(&key)));
                // They wait in its queue for it to go on.
                std::thread::sleep(Duration::from_millis(200));
                paused.server.signal(Signal::CONT);
                for first in asked {
                    let status = first.join().expect("an answer");
                    assert!(matches!(status, Some(401 | 503)), "{status:?}");
                }
            });
            paused.comes_to_answer(&key, 401);
        }
    });
    cluster.must_be_whole();
}
