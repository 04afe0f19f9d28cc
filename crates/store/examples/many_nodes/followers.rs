//! The change feed: what it costs the database that nodes look ten times a second, and what a revocation
//! costs that each of them reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use sealgate_core::audit::{Action, Actor, Event};
use sealgate_core::clock::{Clock as _, SystemClock};
use sealgate_core::store::{Change, Commit, FeedPosition, Store};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::{Bench, Outcome, close, shown};

/// How long a node waits before it looks again.
const CADENCE: Duration = Duration::from_millis(100);
/// Rows of the feed read at once.
const STEP: u32 = 1_000;
/// Revocations that wait at the same time, of a writer.
const AT_ONCE: usize = 16;

pub async fn measure(bench: &mut Bench) -> Outcome<()> {
    println!(
        "\nNodes that follow the change feed, ten times a second, while nothing changes\n\n\
         | nodes | looks a second | the database's processors, a look | … in all |\n\
         | --- | --- | --- | --- |"
    );
    for count in [1, 10, 100] {
        bench.database.settle().await?;
        let nodes = bench.nodes(count).await?;
        let end = nodes[0].feed_position().await?;
        let work = move |node: Arc<dyn Store>, _| async move {
            node.feed_since(end, STEP).await?;
            sleep(CADENCE).await;
            Ok(1)
        };
        let figures = bench.run(&nodes, 1, work).await?;
        close(nodes).await;
        let percent = figures.spent / figures.seconds * 100.0;
        println!(
            "| {count} | {} | {} µs | {} % of a processor |",
            shown(figures.rows_per_second()),
            shown(figures.microseconds_per_row()),
            shown(percent)
        );
    }
    revocations(bench).await
}

async fn revocations(bench: &mut Bench) -> Outcome<()> {
    println!(
        "\nRevocations, {AT_ONCE} at once of each writer, while nodes follow\n\n\
         | writers | nodes that follow | revocations a second | one takes | \
         the database's processors, a revocation |\n\
         | --- | --- | --- | --- | --- |"
    );
    let next = Arc::new(AtomicUsize::new(0));
    for (writers, count) in [(1, 0), (4, 0), (4, 10), (4, 100)] {
        bench.database.settle().await?;
        let (nodes, others) = (bench.nodes(writers).await?, bench.nodes(count).await?);
        let following = follow(&others, nodes[0].feed_position().await?);
        let (keys, next) = (Arc::clone(&bench.keys), Arc::clone(&next));
        let work = move |node: Arc<dyn Store>, _| {
            let (keys, next) = (Arc::clone(&keys), Arc::clone(&next));
            async move {
                // In no order that the table has.
                let place = next.fetch_add(1, Relaxed) * 7_919 % keys.len();
                let (now, id) = (SystemClock.now(), keys[place]);
                let key = node.key(id).await?.ok_or("a key that was made")?;
                let actor = Actor::CommandLine("root".into());
                let commit = Commit {
                    changes: vec![Change::UpdateKey(Box::new(key.revoke(now, None)?))],
                    events: vec![Event::new(now, Action::KeyRevoked, Some(id), &actor)],
                };
                node.commit(commit).await?;
                Ok(1)
            }
        };
        let figures = bench.run(&nodes, AT_ONCE, work).await?;
        drop(following);
        close(nodes).await;
        close(others).await;
        println!(
            "| {writers} | {count} | {} | {} ms | {} µs |",
            shown(figures.rows_per_second()),
            shown(figures.milliseconds()),
            shown(figures.microseconds_per_row())
        );
    }
    Ok(())
}

/// Lets each node follow until the tasks are dropped.
fn follow(nodes: &[Arc<dyn Store>], begin: FeedPosition) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for node in nodes.iter().map(Arc::clone) {
        tasks.spawn(async move {
            let mut position = begin;
            while let Ok(feed) = node.feed_since(position, STEP).await {
                position = feed.position;
                sleep(CADENCE).await;
            }
        });
    }
    tasks
}
