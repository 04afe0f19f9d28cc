//! A server of PostgreSQL for tests, started from Debian's packages on a free port, in a directory that
//! goes away with it. Without them the test fails.
//!
//! Other crates' tests take this file in with `#[path]`; no one of them uses all of it.
#![allow(
    clippy::allow_attributes,
    reason = "each test program uses another part"
)]
#![allow(dead_code, reason = "each test program uses another part")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Who may do everything.
const USER: &str = "sealgate";
/// The password, which has to be found nowhere but here.
pub const PASSWORD: &str = "correct-horse-battery";

/// What a server is told besides its port: quick to start, and with room for many tests at once.
const SETTINGS: &str = "-c fsync=off -c max_connections=200 \
    -c shared_buffers=64MB -c wal_level=replica -c max_wal_senders=4 -c hot_standby=on";

/// A server.
pub struct PostgresServer {
    directory: PathBuf,
    port: u16,
    /// Where it listens, besides the loopback interface.
    addresses: Vec<String>,
    databases: AtomicU32,
    /// Ends the server and removes its directory when its standard input is closed, which also happens
    /// when this process ends in whatever way.
    keeper: Option<Child>,
}

impl PostgresServer {
    /// The server that all tests of this program share.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<PostgresServer> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    /// Starts a server of its own.
    pub fn start() -> Self {
        Self::start_on(&[])
    }

    /// Starts a server that listens on these addresses too, for the 24-bit networks around them.
    pub fn start_on(addresses: &[&str]) -> Self {
        Self::start_with("", addresses)
    }

    /// As above, with settings as its file of settings has them.
    pub fn start_with(settings: &str, addresses: &[&str]) -> Self {
        let mut server = Self::in_a_new_directory();
        server.addresses = addresses
            .iter()
            .map(|&address| address.to_owned())
            .collect();
        let password = server.directory.join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let (password, data) = (
            format!("--pwfile={}", password.display()),
            format!("--pgdata={}", server.data().display()),
        );
        let user = format!("--username={USER}");
        let mut arguments = vec!["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8"];
        arguments.extend(["--locale=C.UTF-8", &user, &password, &data]);
        if version() >= 15 {
            // Its texts are sorted by a language, so that what relies on the order of bytes shows.
            arguments.extend(["--locale-provider=icu", "--icu-locale=en-US"]);
        }
        server.run("initdb", &arguments);
        server.let_in_from(addresses);
        server.append("postgresql.conf", settings);
        server.resume_service();
        server
    }

    /// Starts a server that follows this one and takes no writes.
    pub fn standby(&self) -> Self {
        let standby = Self::in_a_new_directory();
        standby.run(
            "pg_basebackup",
            &[
                "--write-recovery-conf",
                "--checkpoint=fast",
                &format!("--dbname={}", self.url("postgres")),
                &format!("--pgdata={}", standby.data().display()),
            ],
        );
        standby.resume_service();
        standby
    }

    /// The URL of a new, empty database.
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a new, empty schema of a database that others have schemas in. It is there sooner than a
    /// database.
    pub fn schema(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql("postgres", &format!("CREATE SCHEMA {name}"));
        format!("{}?options=-csearch_path%3D{name}", self.url("postgres"))
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}")
    }

    /// The port on the loopback interface.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements in a database; what they answer, a line for each row.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let url = self.url(database);
        let arguments = [
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
            "--command",
            sql,
            &url,
        ];
        String::from_utf8(self.run("psql", &arguments).stdout).unwrap()
    }

    /// Stops the server at once: every connection is cut.
    pub fn stop_service(&self) {
        self.control(&["stop", "--mode=immediate"]);
    }

    /// Starts it again, with the same port and what was in it.
    pub fn resume_service(&self) {
        let log = self.directory.join("log");
        let options = format!(
            "-p {} -c unix_socket_directories={} -c listen_addresses={} {SETTINGS}",
            self.port,
            self.directory.display(),
            ["127.0.0.1"]
                .into_iter()
                .chain(self.addresses.iter().map(String::as_str))
                .collect::<Vec<_>>()
                .join(",")
        );
        self.control(&[
            "start",
            &format!("--log={}", log.display()),
            &format!("--options={options}"),
        ]);
    }

    fn let_in_from(&self, addresses: &[&str]) {
        for address in addresses {
            let line = format!("host all all {address}/24 scram-sha-256\n");
            self.append("pg_hba.conf", &line);
        }
    }

    fn append(&self, name: &str, text: &str) {
        let mut options = OpenOptions::new();
        let file = options.append(true).open(self.data().join(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Stops the server's processes where they are: it takes connections, and says nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Lets the server speak TLS, as `localhost`; gives its certificate.
    pub fn speak_tls(&self) -> PathBuf {
        let certificate = self.data().join("server.crt");
        let made = self
            .command("openssl")
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '))
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(self.data().join("server.key"))
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        self.sql("postgres", "ALTER SYSTEM SET ssl = on");
        self.stop_service();
        self.resume_service();
        certificate
    }

    /// Lets a standby take over.
    pub fn promote(&self) {
        self.control(&["promote"]);
    }

    /// Sends a signal to the server and to the processes of its connections.
    fn signal(&self, signal: &str) {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let server = file.lines().next().unwrap().to_owned();
        let children = Command::new("ps")
            .args(["-o", "pid=", "--ppid", &server])
            .output()
            .unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(&server)
            .args(children.split_whitespace())
            .status();
        assert!(status.unwrap().success());
    }

    fn in_a_new_directory() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sealgate-postgres-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        if is_root() {
            let owner = Command::new("chown")
                .arg("postgres")
                .arg(&directory)
                .status();
            assert!(
                owner.unwrap().success(),
                "the user postgres is missing: apt-get install postgresql"
            );
        }
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        let mut server = Self {
            directory,
            port,
            addresses: Vec::new(),
            databases: AtomicU32::new(0),
            keeper: None,
        };
        server.keeper = Some(server.keeper());
        server
    }

    fn keeper(&self) -> Child {
        let script = "cat >/dev/null; \"$1\" stop --silent --mode=immediate --pgdata=\"$2/data\"; \
                      rm -rf \"$2\"";
        self.command("sh")
            .args(["-c", script, "sh"])
            .arg(binaries().join("pg_ctl"))
            .arg(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn control(&self, arguments: &[&str]) {
        let data = format!("--pgdata={}", self.data().display());
        let mut all = arguments.to_vec();
        all.extend(["--silent", "--wait", &data]);
        self.run("pg_ctl", &all);
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        // A server that was started would hold a pipe open.
        let out = std::fs::File::create(self.directory.join("out")).unwrap();
        let captures = program == "psql";
        let mut command = self.command(binaries().join(program));
        command.args(arguments).stdin(Stdio::null());
        if captures {
            let output = command.output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program}: {error}");
            return output;
        }
        let status = command
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .status()
            .unwrap();
        let said = std::fs::read_to_string(self.directory.join("out")).unwrap_or_default();
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        assert!(status.success(), "{program} failed: {said}\n{log}");
        Output {
            status,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// A command as a user that PostgreSQL runs as: not root.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(program.as_ref());
            command
        } else {
            Command::new(program.as_ref())
        };
        command.current_dir(&self.directory);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(name);
        }
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

/// Where the newest PostgreSQL has its programs.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let newest = versions
        .filter_map(|version| version.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .map(|version| (version, format!("/usr/lib/postgresql/{version}/bin").into()))
        // The packages of a client alone have a directory there too.
        .filter(|(_, directory): &(u32, PathBuf)| directory.join("initdb").exists())
        .max()
        .map(|(_, directory)| directory);
    let in_path = std::env::var_os("PATH").into_iter().flat_map(|path| {
        std::env::split_paths(&path)
            .filter(|directory| directory.join("pg_ctl").exists())
            .collect::<Vec<_>>()
    });
    newest
        .into_iter()
        .chain(in_path)
        .find(|directory| directory.join("initdb").exists())
        .expect("PostgreSQL is missing: apt-get install postgresql")
}

/// The first number of its version.
fn version() -> u32 {
    let said = Command::new(binaries().join("initdb"))
        .arg("--version")
        .output();
    let said = String::from_utf8(said.unwrap().stdout).unwrap();
    let mut numbers = said.split(|c: char| !c.is_ascii_digit());
    numbers.find_map(|number| number.parse().ok()).unwrap()
}

fn is_root() -> bool {
    static IS_ROOT: OnceLock<bool> = OnceLock::new();
    *IS_ROOT.get_or_init(|| Command::new("id").arg("-u").output().unwrap().stdout == b"0\n")
}
