//! A store moves from its file to PostgreSQL.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::postgres_server::{PASSWORD, PostgresServer};
use crate::support::{Home, Key, Ran, Server};

/// Enough for a move that takes a while.
const MANY: usize = 12_000;

/// A store in a file, and an empty database.
struct Site {
    home: Home,
    url: String,
}

impl Site {
    fn new() -> Self {
        Self {
            home: Home::new(),
            url: PostgresServer::shared().database(),
        }
    }

    fn from(&self) -> String {
        format!("sqlite:{}", self.home.database().display())
    }

    fn command(&self) -> Command {
        let from = self.from();
        self.home
            .command(&["migrate-store", "--from", &from, "--to", &self.url])
    }

    fn migrate(&self) -> Ran {
        let ran = Ran::of(&mut self.command());
        assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:?}");
        ran
    }

    /// Runs a command on the database.
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.home.command(arguments);
        Ran::of(command.env("SEALGATE_DATABASE_URL", &self.url))
    }

    /// A server on the database.
    fn serve(&self) -> Server {
        Server::start_with(&self.home, |command| {
            command.env("SEALGATE_DATABASE_URL", &self.url);
        })
    }

    /// What the database answers.
    fn sql(&self, sql: &str) -> String {
        let (_, database) = self.url.rsplit_once('/').expect("a URL has a database");
        let answer = PostgresServer::shared().sql(database, sql);
        answer.trim().to_owned()
    }

    /// Everything that commands tell of the store, in its file or in the database.
    fn everything(&self, is_moved: bool) -> Vec<Value> {
        let commands: [&[&str]; 5] = [
            &["list", "--limit", "1000"],
            &["user", "list"],
            &["logs", "--limit", "1000"],
            &["signing-key", "list"],
            &["signing-key", "list", "--of", "tokens"],
        ];
        let told = commands.iter().map(|arguments| {
            let arguments = [arguments, &["--json"][..]].concat();
            let ran = if is_moved {
                self.run(&arguments)
            } else {
                self.home.run(&arguments)
            };
            ran.success().json()
        });
        told.collect()
    }
}

#[test]
fn a_moved_store_is_the_store_that_it_was() {
    let site = Site::new();
    let home = &site.home;
    let admin = home.create_key(&["--name", "Admin", "--admin"]);
    let odd = "odd \u{1F511} 本番";
    let client = home.create_key(&["--name", odd, "--rate-limit", "5/1m"]);
    let gone = home.create_key(&["--name", "gone"]);
    let rotated = home.create_key(&["--name", "rotated"]);
    home.run(&["revoke", "--id", &gone.id, "--reason", "lost"])
        .success();
    home.run(&["rotate", "--id", &rotated.id, "--grace", "1h"])
        .success();
    let ada = ["user", "add", "--username", "ada", "--password-stdin"];
    home.run_with_input(&ada, "correct horse battery").success();
    let server = Server::start(home);
    let token = use_it(&server, &client);
    assert_eq!(show(&server, &gone.api_key), 401);
    drop(server.stop());
    let before = site.everything(false);

    let moved = Ran::of(site.command().arg("--json")).success().json();
    assert_eq!(moved["keys"], 5);
    assert_eq!(moved["users"], 1);
    assert_eq!(site.everything(true), before);
    let last = moved["last"].as_str().expect("a text");
    site.run(&["logs", "--verify", "--expect", last]).success();
    home.run(&["logs", "--verify", "--expect", last]).success();

    let server = site.serve();
    assert_eq!(show(&server, &client.api_key), 200);
    assert_eq!(show(&server, &gone.api_key), 401);
    assert_eq!(show(&server, &rotated.api_key), 200, "its grace goes on");
    let answer = server.get("/api/encrypt").bearer(&token).send();
    assert_eq!(answer.status, 200, "a token from before is good");
    log_in(&server);
    let path = format!("/api/auth/keys/{}/revoke", client.id);
    let revoked = server.post(&path).api_key(&admin.api_key).send();
    revoked.expect(200);
    assert_eq!(show(&server, &client.api_key), 401);
    let (status, log) = server.stop();
    assert_eq!(status, Some(0), "{log}");
    site.run(&["logs", "--verify", "--expect", last]).success();
    site.migrate()
        .failure(1, "the database is not empty: it has a table");
}

#[test]
fn a_move_that_was_killed_goes_on_where_it_was_and_is_no_store_before_its_end() {
    let site = Site::new();
    many_keys(&site.home);
    let mut reached = 0;
    for kill in 0..3 {
        reached = kill_after(&site, reached);
        println!("killed with {reached} rows copied");
        site.run(&["list"])
            .failure(1, "a store is being moved to it, and is not all there");
        site.run(&["serve"])
            .failure(1, "`sealgate migrate-store` goes on where it was");
        site.run(&["create", "--name", "x"])
            .failure(1, "being moved");
        if kill == 0 {
            let other = Site {
                url: site.url.clone(),
                ..Site::new()
            };
            other.home.create_key(&["--name", "of another store"]);
            other
                .migrate()
                .failure(1, "the unfinished copy of another store");
        }
    }
    let ran = site.migrate().success();
    assert!(ran.stderr.contains("copied already"), "{ran:?}");
    assert!(ran.stdout.contains("audit log whole"), "{ran:?}");
    let verified = |ran: Ran| ran.success().stdout;
    assert_eq!(
        verified(site.run(&["logs", "--verify", "--quiet"])),
        verified(site.home.run(&["logs", "--verify", "--quiet"]))
    );
    assert_eq!(site.sql("SELECT count(*) FROM api_key"), MANY.to_string());
    let one = ["list", "--limit", "1000", "--json"];
    assert_eq!(
        site.run(&one).success().json(),
        site.home.run(&one).success().json()
    );
    assert_eq!(
        site.sql(
            "SELECT count(*) FROM information_schema.tables WHERE table_name = 'unfinished_move'"
        ),
        "0"
    );
}

#[test]
fn a_copy_of_which_anything_is_missing_or_altered_is_no_store() {
    for (damage, complaint) in [
        (
            "DELETE FROM api_key WHERE id = (SELECT min(id) FROM api_key)",
            "the copy of api_key has 11999 rows, and 12000 were to be copied",
        ),
        (
            "UPDATE audit SET actor = 'somebody else' WHERE sequence = 2",
            "the audit log is not whole",
        ),
    ] {
        let site = Site::new();
        many_keys(&site.home);
        // Of the audit log, which comes last, there is something then.
        let mut reached = kill_after(&site, 0);
        while site.sql("SELECT count(*) > 2 FROM audit") != "t" {
            reached = kill_after(&site, reached);
        }
        site.sql(damage);
        site.migrate().failure(1, complaint);
        site.run(&["list"]).failure(1, "being moved");
    }
}

#[test]
fn a_store_that_changed_since_its_copy_was_begun_is_not_mixed_with_it() {
    let site = Site::new();
    many_keys(&site.home);
    kill_after(&site, 0);
    site.home.create_key(&["--name", "later"]);
    site.migrate()
        .failure(1, "the store has changed since its copy was begun");
    site.run(&["list"]).failure(1, "being moved");
}

#[test]
fn a_store_that_is_in_use_is_not_moved_and_one_that_is_moved_cannot_be_used() {
    let site = Site::new();
    let key = site.home.create_key(&["--name", "client"]);
    let server = Server::start(&site.home);
    site.migrate()
        .failure(1, "another process has the store open");
    assert_eq!(
        site.sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"),
        "0"
    );
    assert_eq!(show(&server, &key.api_key), 200);
    let made = site.home.run(&["create", "--name", "still"]);
    made.success();
    drop(server.stop());
    site.migrate().success();
}

#[test]
fn a_database_that_holds_anything_is_refused_and_left_alone() {
    let site = Site::new();
    site.home.create_key(&["--name", "client"]);
    site.sql("CREATE TABLE things (name TEXT)");
    site.migrate()
        .failure(1, "the database is not empty: it has a table things");
    site.sql("DROP TABLE things");

    let other = Site {
        url: site.url.clone(),
        ..Site::new()
    };
    other.run(&["create", "--name", "there before"]).success();
    site.migrate().failure(1, "the database is not empty");
    let listed = other.run(&["list", "--json"]).success().json();
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_cannot_be_moved_is_told_and_makes_nothing() {
    let site = Site::new();
    site.migrate().failure(1, "there is no store at");
    assert!(!site.home.database().exists());
    site.home.create_key(&["--name", "client"]);
    let from = site.from();
    for (from, to) in [
        (site.url.as_str(), from.as_str()),
        (&site.url, &site.url),
        (&from, &from),
        (&from, "mysql://ada:hunter2@db/x"),
        ("nonsense", &site.url),
    ] {
        let ran = site
            .home
            .run(&["migrate-store", "--from", from, "--to", to])
            .failure(2, "");
        let said = format!("{ran:?}");
        assert!(
            !said.contains("hunter2") && !said.contains(PASSWORD),
            "{said}"
        );
    }
    let mut command = site.command();
    command.env("SEALGATE_MASTER_KEY", "7e".repeat(32));
    Ran::of(&mut command).failure(1, "master key");
    assert_eq!(
        site.sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"),
        "0"
    );
}

/// Lets a key do all there is; gives an access token.
fn use_it(server: &Server, key: &Key) -> String {
    assert_eq!(show(server, &key.api_key), 200);
    log_in(server);
    let made = server.post("/api/auth/token").api_key(&key.api_key).send();
    let made = made.expect(200).json();
    made["token"].as_str().expect("a token").to_owned()
}

fn log_in(server: &Server) {
    let body = json!({"username": "ada", "password": "correct horse battery"});
    server
        .post("/api/auth/login")
        .json(&body)
        .send()
        .expect(200);
}

fn show(server: &Server, key: &str) -> u16 {
    server.get("/api/encrypt").api_key(key).send().status
}

fn many_keys(home: &Home) {
    let mut lines = String::new();
    for number in 0..MANY {
        writeln!(lines, "{{\"name\": \"key {number}\"}}").expect("text takes text");
    }
    home.run_with_input(&["create", "--from", "-"], &lines)
        .success();
}

/// Moves until more rows are copied than before, and kills it then; gives how many were.
fn kill_after(site: &Site, before: u64) -> u64 {
    let mut child = site
        .command()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let noted = "SELECT CASE WHEN to_regclass('unfinished_move') IS NULL THEN '' ELSE \
         (xpath('//sum/text()', query_to_xml('SELECT sum(moved) FROM unfinished_move', true, true, \
         '')))[1]::text END";
    for _ in 0..500 {
        let reached = site.sql(noted).parse().unwrap_or(0);
        if reached > before {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it was started");
    let ran: Ran = child.wait_with_output().expect("it ends").into();
    assert_eq!(ran.code, None, "it ended before it was killed: {ran:?}");
    let reached = site.sql(noted).parse().expect("a number");
    assert!(reached > before, "it never came to that");
    reached
}
