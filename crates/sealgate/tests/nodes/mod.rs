//! Three nodes on one PostgreSQL, under load, and what befalls them. Each test is named for what is
//! promised of one fault; `docs/reliability.md` lists them. After each the same is looked at
//! ([`Cluster::must_be_whole`](cluster::Cluster::must_be_whole)).

mod clocks;
mod cluster;
mod deployment;
mod disk;
mod limits;
mod namespace;
mod network;
mod outages;
mod pauses;
