//! Counts of uses: each node writes one row for each key that was used there, again and again.

use std::sync::Arc;
use std::time::Instant;

use sealgate_core::clock::{Clock as _, SystemClock, Timestamp};
use sealgate_core::key::KeyId;
use sealgate_core::store::Store;
use sealgate_core::tally::{Count, Counted, Use};

use crate::{Bench, Outcome, close, shown};

/// Most counts that a node closes in one transaction.
const CLOSED_AT_ONCE: u32 = 1_000;

pub async fn measure(bench: &mut Bench) -> Outcome<()> {
    println!(
        "\nCounts of uses, the same keys at each node, each writing without a pause\n\n\
         | keys in use | nodes | rows a second | a write takes | the database's processors, a row |\n\
         | --- | --- | --- | --- | --- |"
    );
    for keys in [100, 1_000, 10_000] {
        for count in [1, 2, 4] {
            bench.database.settle().await?;
            let nodes = bench.nodes(count).await?;
            let used = Arc::clone(&bench.keys);
            // Spread over the whole table, as keys in use are.
            let stride = used.len() / keys;
            let work = move |node: Arc<dyn Store>, _| {
                let used = Arc::clone(&used);
                async move {
                    let used = used.iter().step_by(stride).take(keys);
                    node.add_uses(&counted(used, SystemClock.now())).await?;
                    Ok(keys)
                }
            };
            let figures = bench.run(&nodes, 1, work).await?;
            close(nodes).await;
            println!(
                "| {keys} | {count} | {} | {} ms | {} µs |",
                shown(figures.rows_per_second()),
                shown(figures.milliseconds()),
                shown(figures.microseconds_per_row())
            );
        }
    }
    close_minutes(bench).await
}

/// What was counted becomes records of the log once its minute is over.
async fn close_minutes(bench: &mut Bench) -> Outcome<()> {
    let (node, now) = (bench.node().await?, SystemClock.now());
    let over = now.plus_seconds(60);
    while node.close_uses(over, now, CLOSED_AT_ONCE).await? > 0 {}
    let used = bench.keys.len().min(20_000);
    node.add_uses(&counted(bench.keys.iter().take(used), now))
        .await?;
    bench.database.settle().await?;
    let before = bench.database.processor_time()?;
    let begin = Instant::now();
    while node.close_uses(over, now, CLOSED_AT_ONCE).await? > 0 {}
    let took = begin.elapsed().as_secs_f64();
    let spent = bench.database.processor_time()? - before;
    node.close().await;
    println!(
        "\n{used} counts closed, {CLOSED_AT_ONCE} a transaction: {} records a second, {} µs of the \
         database's processors each",
        shown(used as f64 / took),
        shown(spent * 1e6 / used as f64)
    );
    Ok(())
}

fn counted<'k>(keys: impl Iterator<Item = &'k KeyId>, now: Timestamp) -> Vec<Counted> {
    let route: Arc<str> = "GET /api/auth/verify".into();
    keys.map(|&key_id| Counted {
        of: Use {
            minute: now.minute(),
            key_id,
            address: Some([10, 0, 0, 1].into()),
            route: Arc::clone(&route),
        },
        count: Count {
            requests: 3,
            last: now,
        },
    })
    .collect()
}
