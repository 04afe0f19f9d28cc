//! A reverse proxy that runs.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Request, Stopwatch};

/// How long one may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// What there is to know of a proxy before it runs.
pub struct Proxy {
    /// The files of `docs/examples/` that it reads: names and texts.
    pub files: &'static [(&'static str, &'static str)],
    /// What is replaced in them: where things are in this test, and nothing else.
    pub replaced: fn(&Places) -> Vec<(&'static str, String)>,
    /// What its page says to write for a header `X-Portal-User` of the policy: texts, and what they become.
    pub portal_user: &'static [(&'static str, &'static str)],
    /// What its page says to write for a cookie of the policy.
    pub portal_cookie: &'static [(&'static str, &'static str)],
    /// The program, about to run in the foreground on files in a directory, and to write only there.
    pub program: fn(&Path) -> Command,
    /// Whether it passes an upgrade to a `WebSocket` on.
    pub websockets: bool,
    /// What it does to paths.
    pub paths: Paths,
}

/// Where things are.
pub struct Places {
    /// Where the proxy is to listen.
    pub proxy: SocketAddr,
    /// Whom it asks.
    pub sealgate: SocketAddr,
    /// Whom it protects.
    pub application: SocketAddr,
    /// Where its files are.
    pub directory: PathBuf,
}

impl Places {
    /// A file of the proxy's.
    pub fn file(&self, name: &str) -> String {
        let path = self.directory.join(name);
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

/// What a proxy does to paths, as its page says. All others arrive as they were sent.
pub struct Paths {
    /// Those that it answers itself, with an error.
    pub refused: &'static [&'static str],
    /// Those that it writes differently, for Sealgate and the application alike.
    pub rewritten: &'static [(&'static str, &'static str)],
}

/// A running proxy. It ends with this value, also when a test fails.
pub struct Running {
    process: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Running {
    /// Starts one on a free port.
    pub fn start(
        proxy: &Proxy,
        changes: &[(&'static str, &str)],
        sealgate: SocketAddr,
        application: SocketAddr,
    ) -> Self {
        // Another program can take a port between its choice and its use.
        for _ in 0..10 {
            let directory = directory_for_others();
            let places = Places {
                proxy: free_address(),
                sealgate,
                application,
                directory: directory.path().to_owned(),
            };
            write_files(proxy, changes, &places);
            let mut running = Self {
                process: spawn((proxy.program)(directory.path()), directory.path()),
                address: places.proxy,
                directory,
            };
            if running.is_up() {
                return running;
            }
        }
        panic!("{} does not start", proxy.files[0].0);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).expect("the log is text")
    }

    /// Whether it came to answer. Before it has read its routes, Traefik knows no path.
    fn is_up(&mut self) -> bool {
        let stopwatch = Stopwatch::start();
        while stopwatch.elapsed() < PATIENCE {
            if self.process.try_wait().expect("a process").is_some() {
                println!("{}", self.log());
                return false;
            }
            let answer = Request::new(self.address, "GET", "/").try_send();
            if answer.is_some_and(|answer| answer.status != 404) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        println!("{}", self.log());
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program that `scripts/test` installs.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    // Where only root looks for programs.
    let in_sbin = Path::new("/usr/sbin").join(name.as_ref());
    if in_sbin.exists() {
        return Command::new(in_sbin);
    }
    Command::new(name)
}

/// A directory that also a program may read which gives up root's rights.
fn directory_for_others() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("permissions");
    directory
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

fn write_files(proxy: &Proxy, changes: &[(&'static str, &str)], places: &Places) {
    let mut replaced = (proxy.replaced)(places);
    replaced.extend(changes.iter().map(|(old, new)| (*old, (*new).to_owned())));
    for (written, _) in &replaced {
        let texts = proxy.files.iter().map(|(_, text)| text);
        let found: usize = texts.map(|text| text.matches(written).count()).sum();
        assert_eq!(found, 1, "{written}");
    }
    for (name, text) in proxy.files {
        let text = replaced
            .iter()
            .fold((*text).to_owned(), |text, (written, here)| {
                text.replace(written, here)
            });
        fs::write(places.directory.join(name), text).expect("a file is written");
    }
}

fn spawn(mut command: Command, directory: &Path) -> Child {
    let log = File::create(directory.join("log")).expect("a log");
    command
        .current_dir(directory)
        .env("HOME", directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log"))
        .stderr(log);
    command.spawn().unwrap_or_else(|error| {
        let name = command.get_program().to_string_lossy().into_owned();
        panic!("this test runs a real {name}, which scripts/test installs: {error}")
    })
}
