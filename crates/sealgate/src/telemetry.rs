//! The server's own log: text on a terminal, JSON otherwise, always on standard error. What a log
//! line says of a request comes from the server's span around it, its identifier first.

use std::io::{self, IsTerminal as _};
use std::panic;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::output;
use crate::settings::{Log, LogFormat, parse_levels};

/// Most lines that wait for whoever reads the log; of more, the newest are lost.
const WAITING_LINES: usize = 4_096;

/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_millis(1_500);

static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// What has the waiting lines written when it is dropped: with the process, or before it exits.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Writes what is left of the log when it is dropped.
#[must_use]
pub struct UntilWritten;

impl Drop for UntilWritten {
    fn drop(&mut self) {
        write_waiting_lines();
    }
}

/// Writes what has been logged, unless nobody takes it in time; what is logged later is not written. Only
/// for a process that is about to exit.
pub fn write_waiting_lines() {
    let writer = WRITER.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (done, written) = mpsc::channel();
    // On a thread of its own, for the writer complains on standard output when nobody takes what it has,
    // and may find nobody there either.
    let ending = std::thread::Builder::new().spawn(move || {
        drop(writer);
        let _ = done.send(());
    });
    if ending.is_ok() {
        let _ = written.recv_timeout(LAST_LINES);
    }
}

/// Lines of the log that were lost, since nobody took those before them in time.
pub fn lost_lines() -> u64 {
    let lost = LOST.get().map_or(0, ErrorCounter::dropped_lines);
    u64::try_from(lost).unwrap_or(u64::MAX)
}

/// Starts the log of a server. No request waits for whoever reads it: a thread of its own writes. What is
/// logged by the time that the guard is dropped is written then, unless nobody takes it.
pub fn start(log: &Log) -> UntilWritten {
    let levels = parse_levels(&log.level).unwrap_or_else(|_| level(LevelFilter::INFO));
    let is_terminal = io::stderr().is_terminal();
    let is_json = match log.format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // What goes wrong behind the gateway is logged once, with the request's identifier.
    let levels = levels.with_target("axum_reverse_proxy", LevelFilter::OFF);
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log")
        .finish(io::stderr());
    let _ = LOST.set(writer.error_counter());
    *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    install(levels, is_json, writer);
    UntilWritten
}

/// Starts the log of a command that soon ends: warnings alone.
pub fn start_quietly() {
    install(level(LevelFilter::WARN), false, io::stderr);
}

fn level(level: LevelFilter) -> Targets {
    Targets::new().with_default(level)
}

fn install<W>(levels: Targets, is_json: bool, writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A line of a password file that it cannot read it logs as it stands.
    let levels = levels.with_target("sqlx_postgres::options::pgpass", LevelFilter::OFF);
    let layer = fmt::layer().with_writer(writer);
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
