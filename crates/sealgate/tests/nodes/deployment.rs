//! The files of `docs/examples/cluster/`: three nodes on a real PostgreSQL behind a real `HAProxy`.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::cluster::PROMISE;
use crate::postgres_server::PostgresServer;
use crate::support::{Home, Key, Ran, Request, Server, Stopwatch};

const POSTGRESQL: &str = include_str!("../../../../docs/examples/cluster/postgresql.conf");
const DATABASE: &str = include_str!("../../../../docs/examples/cluster/database.sql");
const HAPROXY: &str = include_str!("../../../../docs/examples/cluster/haproxy.cfg");
const SETTINGS: &str = include_str!("../../../../docs/examples/cluster/sealgate.toml");
const NODES: [&str; 3] = [
    include_str!("../../../../docs/examples/cluster/node-1.env"),
    include_str!("../../../../docs/examples/cluster/node-2.env"),
    include_str!("../../../../docs/examples/cluster/node-3.env"),
];

/// How long the proxy may take to see that a node is there.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_example_answers_through_the_death_of_a_node_and_revokes_on_all_within_a_second() {
    let site = Site::new();
    let admin = site.admin();
    let mut nodes: Vec<Server> = (0..3).map(|node| site.serve(node, None)).collect();
    let proxy = Proxy::start(&site, &nodes);
    let key = proxy.create_key(&admin);
    for node in &nodes {
        assert_eq!(verify(node.address(), &key), 200);
    }

    let (is_over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    assert_eq!(verify(proxy.address, &key), 200);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(500));
        nodes[0].signal(Signal::KILL);
        std::thread::sleep(Duration::from_millis(2_500));
        is_over.store(true, Ordering::SeqCst);
    });
    println!("{} requests, none of them failed", asked.into_inner());

    let path = format!("/api/auth/keys/{}/revoke", key.id);
    let revoke = Request::new(proxy.address, "POST", &path);
    revoke.api_key(&admin.api_key).send().expect(200);
    let since = Stopwatch::start();
    for node in &nodes[1..] {
        while verify(node.address(), &key) != 401 {
            assert!(since.elapsed() < PROMISE, "still honoured");
        }
    }
    assert_eq!(verify(proxy.address, &key), 401);
    let address = nodes[0].address();
    nodes[0] = site.serve(0, Some(address));
    assert_eq!(verify(address, &key), 401);
    let metrics = Request::new(proxy.address, "GET", "/metrics").send();
    assert_eq!(metrics.status, 404);
    for node in nodes {
        let (status, log) = node.stop();
        assert_eq!(status, Some(0), "{log}");
    }
    site.run(&["logs", "--verify"]).success();
    let show = "SHOW idle_in_transaction_session_timeout";
    assert_eq!(site.postgres.sql("cluster", show).trim(), "1min");
    let owner = "SELECT DISTINCT tableowner FROM pg_tables WHERE tablename = 'api_key'";
    assert_eq!(site.postgres.sql("cluster", owner).trim(), "cluster");
}

fn verify(address: SocketAddr, key: &Key) -> u16 {
    let verify = Request::new(address, "GET", "/api/auth/verify");
    verify.api_key(&key.api_key).send().status
}

/// The example's files, with the places of this test.
struct Site {
    home: Home,
    /// Dropped last, which ends it.
    postgres: PostgresServer,
}

impl Site {
    fn new() -> Self {
        let (home, postgres) = (Home::new(), PostgresServer::start_with(POSTGRESQL, &[]));
        // The server of a test has a role and a password of these names, who may do everything.
        let statements = DATABASE.replace("sealgate", "cluster");
        for statement in statements.split_inclusive(';') {
            postgres.sql("postgres", statement);
        }
        let url = postgres.url("cluster").replace("//sealgate:", "//cluster:");
        let url = home.write("database-url", &url);
        let settings = replaced(SETTINGS, "/etc/sealgate/database-url", &shown(&url));
        home.write("sealgate.toml", &settings);
        let master_key = home.write("master.key", &"7e".repeat(32));
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&master_key, private).expect("the key is closed");
        Self { home, postgres }
    }

    /// The variables of a node.
    fn variables(&self, node: usize) -> Vec<(String, String)> {
        let here = shown(&self.home.here());
        let text = NODES[node].replace("/etc/sealgate", &here);
        let text = replaced(&text, "/var/lib/sealgate", &here);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Starts a node, on a free port unless it is to have one.
    fn serve(&self, node: usize, address: Option<SocketAddr>) -> Server {
        Server::start_with(&self.home, |command| {
            let address = address.map_or("127.0.0.1:0".to_owned(), |address| address.to_string());
            command
                .env_remove("SEALGATE_STORE_MAX_STALENESS_MS")
                .envs(self.variables(node))
                .env("SEALGATE_LISTEN", address);
        })
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.home.command(arguments);
        Ran::of(command.envs(self.variables(0)))
    }

    fn admin(&self) -> Key {
        let arguments = ["create", "--json", "--name", "Admin", "--admin"];
        key_in(&self.run(&arguments).success().json())
    }
}

/// A running `HAProxy`. It ends with this value.
struct Proxy {
    process: Child,
    address: SocketAddr,
}

impl Proxy {
    /// Starts one, and waits until it has seen every node.
    fn start(site: &Site, nodes: &[Server]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let text = replaced(HAPROXY, "bind :80\n", &format!("bind {address}\n"));
        let text = (1..).zip(nodes).fold(text, |text, (number, node)| {
            let written = format!("127.0.0.1:808{number}");
            replaced(&text, &written, &node.address().to_string())
        });
        let file = site.home.write("haproxy.cfg", &text);
        let log = File::create(site.home.path().join("haproxy.log")).expect("a log");
        let process = haproxy()
            .args(["-db", "-f"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn()
            .expect("this test runs a real haproxy, which scripts/test installs");
        let proxy = Self { process, address };
        let since = Stopwatch::start();
        while !proxy.is_up() {
            let log = std::fs::read_to_string(site.home.path().join("haproxy.log"));
            assert!(since.elapsed() < PATIENCE, "{log:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    fn is_up(&self) -> bool {
        let answer = Request::new(self.address, "GET", "/healthz").try_send();
        answer.is_some_and(|answer| answer.status == 200)
    }

    fn create_key(&self, admin: &Key) -> Key {
        let create = Request::new(self.address, "POST", "/api/auth/keys");
        let create = create
            .api_key(&admin.api_key)
            .json(&json!({"name": "client"}));
        key_in(&create.send().expect(201).json())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn haproxy() -> Command {
    // Where only root looks for programs.
    let in_sbin = Path::new("/usr/sbin/haproxy");
    Command::new(if in_sbin.exists() {
        in_sbin
    } else {
        Path::new("haproxy")
    })
}

fn key_in(made: &serde_json::Value) -> Key {
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    Key {
        id: text(&made["key"]["key_id"]),
        prefix: text(&made["key"]["prefix"]),
        api_key: text(&made["api_key"]),
    }
}

#[track_caller]
fn replaced(text: &str, written: &str, here: &str) -> String {
    assert_eq!(text.matches(written).count(), 1, "{written}");
    text.replace(written, here)
}

fn shown(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
