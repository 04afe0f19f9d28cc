//! Audit records: one chain, whose end each node locks for what it appends.

use std::sync::Arc;

use sealgate_core::store::{Commit, Store};

use crate::{Bench, Outcome, close, records, shown};

/// Records of a commit, and how many commits of a node wait at the same time.
const ROWS: [(usize, usize); 4] = [(1, 1), (1, 64), (100, 1), (1_000, 1)];

pub async fn measure(bench: &mut Bench) -> Outcome<()> {
    println!(
        "\nAudit records, each writer waiting until its own are durable\n\n\
         | records of a commit | commits at once, of a writer | writers | records a second | \
         a commit takes | the database's processors, a record |\n\
         | --- | --- | --- | --- | --- | --- |"
    );
    for (size, at_once) in ROWS {
        for count in [1, 2, 4] {
            bench.database.settle().await?;
            let nodes = bench.nodes(count).await?;
            let keys = Arc::clone(&bench.keys);
            let work = move |node: Arc<dyn Store>, seed: usize| {
                let keys = Arc::clone(&keys);
                async move {
                    let at = |number: usize| keys[(seed + number * 6_151) % keys.len()];
                    let events = (0..size).map(|number| records::request(at(number)));
                    let commit = Commit {
                        changes: Vec::new(),
                        events: events.collect(),
                    };
                    node.commit(commit).await?;
                    Ok(size)
                }
            };
            let figures = bench.run(&nodes, at_once, work).await?;
            close(nodes).await;
            println!(
                "| {size} | {at_once} | {count} | {} | {} ms | {} µs |",
                shown(figures.rows_per_second()),
                shown(figures.milliseconds()),
                shown(figures.microseconds_per_row())
            );
        }
    }
    Ok(())
}
