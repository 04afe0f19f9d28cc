//! The server's own log: text on a terminal, JSON otherwise, always on standard error. What a log
//! line says of a request comes from the server's span around it, its identifier first.

use std::io::{self, IsTerminal as _};
use std::panic;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::output;
use crate::settings::{Log, LogFormat, parse_levels};

/// Starts the log of a server.
pub fn start(log: &Log) {
    let levels = parse_levels(&log.level).unwrap_or_else(|_| level(LevelFilter::INFO));
    let is_terminal = io::stderr().is_terminal();
    let is_json = match log.format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // What goes wrong behind the gateway is logged once, with the request's identifier.
    let levels = levels.with_target("axum_reverse_proxy", LevelFilter::OFF);
    install(levels, is_json);
}

/// Starts the log of a command that soon ends: warnings alone.
pub fn start_quietly() {
    install(level(LevelFilter::WARN), false);
}

fn level(level: LevelFilter) -> Targets {
    Targets::new().with_default(level)
}

fn install(levels: Targets, is_json: bool) {
    // A line of a password file that it cannot read it logs as it stands.
    let levels = levels.with_target("sqlx_postgres::options::pgpass", LevelFilter::OFF);
    let layer = fmt::layer().with_writer(io::stderr);
    let layer = if is_json {
        layer.json().flatten_event(true).boxed()
    } else {
        layer.with_ansi(output::colours(&io::stderr())).boxed()
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(levels))
        .init();
    panic::set_hook(Box::new(log_panic));
}

/// Logs where a panic came from. Not what it said: the values in its message may be anybody's.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        location = location.as_deref().unwrap_or("unknown"),
        thread = thread.name().unwrap_or("unnamed"),
        "panicked: this is a bug in Sealgate"
    );
}
