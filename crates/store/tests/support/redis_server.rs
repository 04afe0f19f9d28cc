//! A server of Redis for tests, started from Debian's package on a free port, in a directory that goes
//! away with it. Without the package the test fails.
//!
//! Other crates' tests take this file in with `#[path]`; no one of them uses all of it.
#![allow(
    clippy::allow_attributes,
    reason = "each test program uses another part"
)]
#![allow(dead_code, reason = "each test program uses another part")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The password, which has to be found nowhere but here.
pub const PASSWORD: &str = "correct-horse-staple";

/// Ends the server when its standard input is closed, which also happens when this process ends in
/// whatever way.
const KEEPER: &str =
    "redis-server \"$@\" >redis.log 2>&1 & server=$!; cat; kill $server; wait $server";

/// A server.
pub struct RedisServer {
    directory: tempfile::TempDir,
    port: u16,
    has_tls: bool,
    keeper: Option<Child>,
}

impl RedisServer {
    /// Starts a server.
    pub fn start() -> Self {
        Self::start_as(false)
    }

    /// Starts a server that speaks TLS alone, as `localhost`.
    pub fn start_with_tls() -> Self {
        Self::start_as(true)
    }

    fn start_as(has_tls: bool) -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut server = Self {
            directory: tempfile::tempdir().unwrap(),
            port: free.local_addr().unwrap().port(),
            has_tls,
            keeper: None,
        };
        drop(free);
        if has_tls {
            server.make_certificate();
        }
        server.resume_service();
        server
    }

    /// Where it is, with the password.
    pub fn url(&self) -> String {
        let port = self.port;
        if self.has_tls {
            format!("rediss://:{PASSWORD}@localhost:{port}")
        } else {
            format!("redis://:{PASSWORD}@127.0.0.1:{port}")
        }
    }

    /// The certificate, of a server that speaks TLS.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("server.crt")
    }

    /// Stops the server, which forgets everything.
    pub fn stop_service(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }

    /// Starts it again, with the same port.
    pub fn resume_service(&mut self) {
        let port = self.port.to_string();
        let ports = if self.has_tls {
            let tls = "--port 0 --tls-cert-file server.crt --tls-key-file server.key \
                       --tls-ca-cert-file server.crt --tls-auth-clients no --tls-port";
            tls.split(' ').filter(|word| !word.is_empty()).collect()
        } else {
            vec!["--port"]
        };
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args(["--bind", "127.0.0.1", "--requirepass", PASSWORD])
            .args(["--save", "", "--appendonly", "no", "--dir", "."])
            .args(ports)
            .arg(port)
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.keeper = Some(keeper);
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = std::fs::read_to_string(self.directory.path().join("redis.log"));
        panic!("no server of Redis: apt-get install redis-server; {log:?}");
    }

    fn make_certificate(&self) {
        let made = Command::new("openssl")
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '))
            .args(["-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", "server.key", "-out", "server.crt"])
            .current_dir(self.directory.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop_service();
    }
}
