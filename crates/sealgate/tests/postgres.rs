//! Servers and commands on one PostgreSQL.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::postgres_server::{PASSWORD, PostgresServer};
use crate::support::{Home, Key, Ran, Response, Server, Stopwatch};

const PROMISE: Duration = Duration::from_secs(1);

/// Machines that share a database and a master key.
struct Site {
    url: String,
    master_key: PathBuf,
    machines: [Home; 2],
}

impl Site {
    fn new() -> Self {
        Self::on(PostgresServer::shared().database())
    }

    fn on(url: String) -> Self {
        let machines = [Home::new(), Home::new()];
        let master_key = machines[0].write("master.key", &"7e".repeat(32));
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&master_key, private).expect("the key is closed");
        Self {
            url,
            master_key,
            machines,
        }
    }

    /// Lets a command use what the machines share.
    fn join(&self, command: &mut Command) {
        command
            .env("SEALGATE_DATABASE_URL", &self.url)
            .env("SEALGATE_MASTER_KEY_FILE", &self.master_key)
            .env_remove("SEALGATE_STORE_MAX_STALENESS_MS");
    }

    fn serve(&self, machine: usize) -> Server {
        Server::start_with(&self.machines[machine], |command| self.join(command))
    }

    fn run(&self, machine: usize, arguments: &[&str]) -> Ran {
        let mut command = self.machines[machine].command(arguments);
        self.join(&mut command);
        Ran::of(&mut command)
    }

    fn run_with_input(&self, machine: usize, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.machines[machine].command(arguments);
        self.join(&mut command);
        Ran::with_input(&mut command, input)
    }

    fn create_key(&self, machine: usize, arguments: &[&str]) -> Key {
        let arguments = [&["create", "--json"], arguments].concat();
        let made = self.run(machine, &arguments).success().json();
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        Key {
            id: text(&made["key"]["key_id"]),
            prefix: text(&made["key"]["prefix"]),
            api_key: text(&made["api_key"]),
        }
    }
}

#[test]
fn servers_on_one_database_hear_of_each_others_changes_within_a_second() {
    hear_of_each_others_changes_within_a_second(&Site::new());
}

#[test]
fn servers_behind_a_pool_of_connections_in_session_mode_do_too() {
    let server = PostgresServer::shared();
    let pool = Pool::before(server);
    let direct = server.database();
    let port = |port: u16| format!(":{port}/");
    let url = direct.replace(&port(server.port()), &port(pool.port));
    assert_ne!(url, direct);
    hear_of_each_others_changes_within_a_second(&Site::on(url));
}

/// A `PgBouncer`, which ends with this value.
struct Pool {
    process: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Pool {
    fn before(server: &PostgresServer) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let here = directory.path();
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let (settings, users) = (here.join("pgbouncer.ini"), here.join("users"));
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\npool_mode = session\n\
             auth_type = scram-sha-256\nauth_file = {}\nignore_startup_parameters = extra_float_digits\n",
            server.port(),
            users.display()
        );
        fs::write(&settings, ini).expect("a file");
        fs::write(&users, format!("\"sealgate\" \"{PASSWORD}\"\n")).expect("a file");
        // It gives up root's rights before it reads them.
        for (path, mode) in [(here, 0o755), (&settings, 0o644), (&users, 0o644)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
        }
        let mut command = Command::new("/usr/sbin/pgbouncer");
        if rustix::process::geteuid().is_root() {
            command.args(["--user", "postgres"]);
        }
        command
            .arg(&settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let pool = Self {
            process: command.spawn().expect("pgbouncer is installed"),
            port,
            _directory: directory,
        };
        let since = Stopwatch::start();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                since.elapsed() < Duration::from_secs(30),
                "it does not start"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        pool
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hear_of_each_others_changes_within_a_second(site: &Site) {
    let admin = site.create_key(0, &["--name", "Admin", "--admin"]);
    let (one, other) = (site.serve(0), site.serve(1));
    for machine in [0, 1] {
        let made = site.create_key(machine, &["--name", "client"]);
        show(&one, &made).expect(200);
        show(&other, &made).expect(200);
        let path = format!("/api/auth/keys/{}/revoke", made.id);
        one.post(&path).api_key(&admin.api_key).send().expect(200);
        show(&one, &made).expect(401);
        let late = time_to_refusal(&other, &made);
        println!("refused by the other server {late:?} later");
        assert!(late < PROMISE, "{late:?}");

        let made = site.create_key(machine, &["--name", "client"]);
        show(&one, &made).expect(200);
        site.run(machine, &["revoke", "--id", &made.id]).success();
        assert!(time_to_refusal(&one, &made) < PROMISE);
        assert!(time_to_refusal(&other, &made) < PROMISE);
    }
    for server in [one, other] {
        let (status, log) = server.stop();
        assert_eq!(status, Some(0), "{log}");
        assert!(!log.contains(PASSWORD), "{log}");
        assert!(!log.contains("polled") && !log.contains("ERROR"), "{log}");
    }
    let verified = site.run(1, &["logs", "--verify"]).success();
    println!("{}", verified.stdout);
    let users = site.run(0, &["user", "list"]).success();
    assert!(!users.stdout.contains(PASSWORD));
}

#[test]
fn policies_of_keys_passwords_and_signing_keys_that_one_changes_count_in_all_within_a_second() {
    const BEFORE: &str = "correct horse battery";
    let site = Site::new();
    let serve = |machine: usize| {
        Server::start_with(&site.machines[machine], |command| {
            site.join(command);
            command.env("SEALGATE_TOKENS_ALGORITHM", "EdDSA");
        })
    };
    let (one, other) = (serve(0), serve(1));
    let client = site.create_key(0, &["--name", "client", "--permissions", "api:read"]);

    let seal = || {
        let body = json!({"plaintext": "x"});
        let request = other.post("/api/encrypt").api_key(&client.api_key);
        request.json(&body).send().status
    };
    assert_eq!(seal(), 403);
    let permit = ["update", "--id", &client.id, "--permissions", "api:write"];
    site.run(0, &permit).success();
    hears_in_time(|| seal() == 200);

    let add = ["user", "add", "--username", "ada", "--password-stdin"];
    site.run_with_input(0, &add, BEFORE).success();
    let login = json!({"username": "ada", "password": BEFORE});
    let session = one.post("/api/auth/login").json(&login).send();
    let session = session.expect(200).json()["data"]["token"].clone();
    let session = session.as_str().expect("a token");
    let profile = |server: &Server| server.get("/api/profile").bearer(session).send().status;
    assert_eq!((profile(&one), profile(&other)), (200, 200));
    let change = ["user", "passwd", "--username", "ada", "--password-stdin"];
    site.run_with_input(0, &change, "another horse battery")
        .success();
    hears_in_time(|| profile(&other) == 401);
    hears_in_time(|| profile(&one) == 401);

    let issue = || {
        let exchange = one.post("/api/auth/token").api_key(&client.api_key);
        let token = exchange.send().expect(200).json()["token"].clone();
        token.as_str().expect("a token").to_owned()
    };
    let verify = |token: &str| other.post("/api/auth/verify").bearer(token).send().status;
    let old = issue();
    assert_eq!(verify(&old), 200);
    site.run(1, &["signing-key", "rotate", "--now", "--of", "tokens"])
        .success();
    hears_in_time(|| verify(&old) == 401);
    hears_in_time(|| verify(&issue()) == 200);
}

#[track_caller]
fn hears_in_time(has_heard: impl Fn() -> bool) {
    let since = Stopwatch::start();
    while !has_heard() {
        assert!(since.elapsed() < PROMISE, "not heard of");
    }
}

#[test]
fn a_server_goes_on_by_itself_after_its_database_was_away() {
    let server = PostgresServer::start();
    let site = Site {
        url: server.database(),
        ..Site::new()
    };
    let key = site.create_key(0, &["--name", "client"]);
    let gate = site.serve(0);
    show(&gate, &key).expect(200);
    server.stop_service();
    wait_for(&gate, &key, 503);
    let refused = site.run(0, &["list"]).failure(1, "cannot be used");
    assert!(!refused.stderr.contains(PASSWORD), "{refused:?}");
    server.resume_service();
    wait_for(&gate, &key, 200);
    site.run(1, &["revoke", "--id", &key.id]).success();
    wait_for(&gate, &key, 401);
    let (status, log) = gate.stop();
    assert_eq!(status, Some(0), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
    site.run(0, &["logs", "--verify"]).success();
}

#[test]
fn the_url_may_be_in_a_file_and_the_doctor_shows_no_password() {
    let site = Site::new();
    site.create_key(0, &["--name", "Admin", "--admin"]);
    let home = &site.machines[0];
    let file = home.write("database-url", &format!("{}\n", site.url));
    for json in [false, true] {
        let mut command = home.command(&["doctor"]);
        command
            .env("SEALGATE_DATABASE_URL_FILE", &file)
            .env("SEALGATE_MASTER_KEY_FILE", &site.master_key);
        if json {
            command.arg("--json");
        }
        let ran = Ran::of(&mut command).success();
        assert!(ran.stdout.contains("PostgreSQL at 127.0.0.1:"), "{ran:?}");
        assert!(ran.stdout.contains("postgresql "), "{ran:?}");
        assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:?}");
    }
    let wrong = site.url.replace(PASSWORD, "mistaken-secret");
    for arguments in [["list", "--json"], ["doctor", "--json"]] {
        let mut command = home.command(&arguments);
        site.join(command.env("PGPASSWORD", "unused-secret"));
        let ran = Ran::of(command.env("SEALGATE_DATABASE_URL", &wrong));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let said = format!("{ran:?}");
        assert!(said.contains("check user and password"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    let without = site.url.replace(&format!(":{PASSWORD}"), "");
    let mut command = home.command(&["list"]);
    site.join(command.env("PGPASSWORD", PASSWORD));
    Ran::of(command.env("SEALGATE_DATABASE_URL", without)).success();
}

#[test]
fn the_first_machine_makes_a_master_key_and_no_other_does() {
    let url = PostgresServer::shared().database();
    let machines = [Home::new(), Home::new()];
    let run = |machine: usize, arguments: &[&str]| {
        let mut command = machines[machine].command(arguments);
        Ran::of(command.env("SEALGATE_DATABASE_URL", &url))
    };
    run(0, &["list"]).failure(1, "there is no store at PostgreSQL");
    assert!(!machines[0].master_key().exists());
    run(0, &["create", "--name", "first"]).success();
    assert!(machines[0].master_key().exists() && !machines[0].database().exists());

    run(1, &["create", "--name", "second"]).failure(1, "master.key is missing");
    assert!(!machines[1].master_key().exists());
    std::fs::create_dir_all(machines[1].data_dir()).expect("a data directory");
    std::fs::copy(machines[0].master_key(), machines[1].master_key()).expect("the key is copied");
    run(1, &["create", "--name", "second"]).success();
    let listed = run(0, &["list", "--json"]).success().json();
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(2));
}

fn show(server: &Server, key: &Key) -> Response {
    server.get("/api/encrypt").api_key(&key.api_key).send()
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
fn time_to_refusal(server: &Server, key: &Key) -> Duration {
    let start = Instant::now();
    while show(server, key).status != 401 {
        assert!(start.elapsed() < 10 * PROMISE, "never refused");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "it must not go on for ever")]
fn wait_for(server: &Server, key: &Key, status: u16) {
    let start = Instant::now();
    while show(server, key).status != status {
        assert!(start.elapsed() < 30 * PROMISE, "never answered {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
