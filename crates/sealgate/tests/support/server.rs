//! A running `sealgate serve`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Home, Request};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a free port. It is killed when it is dropped; [`Server::stop`] ends it in an orderly
/// way and gives its log.
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Reads the server's standard error to its end, so that the server never waits for a reader.
    log: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts one with everything at its default, but for its patience with a store that is slow to
    /// answer: the tests share one machine, and none of them is about that.
    pub fn start(home: &Home) -> Self {
        Self::start_with(home, |_| ())
    }

    /// Starts one after more was set: arguments, variables.
    pub fn start_with(home: &Home, adjust: impl FnOnce(&mut Command)) -> Self {
        let mut command = home.command(&["serve"]);
        command.env("SEALGATE_LISTEN", "127.0.0.1:0");
        command.env("SEALGATE_STORE_MAX_STALENESS_MS", "20000");
        adjust(&mut command);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let stderr = child.stderr.take().expect("its standard error is a pipe");
        let (found, address) = channel();
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    // Nobody waits any more after the first one.
                    let _ = found.send(address);
                }
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        let Ok(address) = address.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            let status = child.wait();
            let log = log.join().unwrap_or_default();
            panic!("the server did not come up: {status:?}\n{log}");
        };
        Self {
            child,
            address,
            log: Some(log),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A request to it.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.address, method, path)
    }

    /// A request that reads.
    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    /// A request that changes something.
    pub fn post(&self, path: &str) -> Request {
        self.request("POST", path)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("the signal is sent");
    }

    /// Asks it to stop; gives its exit status and its log.
    pub fn stop(self) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end; gives its exit status and its log.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("the server ends");
        let log = self.log.take().expect("its log is read once");
        (status.code(), log.join().expect("its log is text"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line such as `listening on http://127.0.0.1:8080`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once("listening on ")?;
    let (_, address) = after.split_once("://")?;
    let end = address.find(|c: char| !matches!(c, '0'..='9' | '.' | ':' | '[' | ']' | 'a'..='f'));
    address[..end.unwrap_or(address.len())].parse().ok()
}
