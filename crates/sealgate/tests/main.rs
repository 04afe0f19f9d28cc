//! Drives the real program: every command, and the server over HTTP.

mod support;

mod backup;
mod bulk;
mod conformance;
mod doctor;
mod documentation;
mod durability;
mod envoy;
mod forward_auth;
mod gateway;
mod gomaluum;
mod guessing;
mod guide;
mod help;
mod identity;
mod independent;
mod keys;
mod logs;
mod master_key;
mod moving;
mod named_test;
mod nodes;
mod policy;
mod postgres;
#[path = "../../store/tests/support/postgres_server.rs"]
mod postgres_server;
mod proxies;
#[path = "../../store/tests/support/redis_server.rs"]
mod redis_server;
mod revocation;
mod revocation_list;
mod scale;
mod secrecy;
mod serve;
mod settings;
mod signing_keys;
mod store_gone;
mod terminal;
mod tools;
mod tour;
mod unread_log;
mod users;
