//! What is different on a terminal: questions, colours, progress. The terminal is a real one.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::json;

use crate::postgres_server::{PASSWORD, PostgresServer};
use crate::support::{Home, Server};

/// A program on a terminal of 80 columns.
struct Terminal {
    child: Child,
    controller: File,
    screen: String,
}

impl Terminal {
    fn start(command: &mut Command) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&controller).expect("it is ours");
        unlockpt(&controller).expect("it is open");
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&controller, size).expect("its size is set");
        let name = ptsname(&controller, Vec::new()).expect("its name");
        let name = name.to_str().expect("a plain name");
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .open(name)
                .expect("its other end")
        };

        command.env("TERM", "xterm");
        let child = command.stdin(open()).stdout(open()).stderr(open()).spawn();
        // The command holds the terminal open too, and there would be no end to the reading.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            child: child.expect("the program starts"),
            controller: File::from(controller),
            screen: String::new(),
        }
    }

    /// Reads what is printed until it has this in it.
    fn wait_for(&mut self, text: &str) {
        let mut piece = [0; 4096];
        while !self.screen.contains(text) {
            let read = self.controller.read(&mut piece).unwrap_or(0);
            assert_ne!(read, 0, "{text:?} did not come: {}", self.screen);
            self.screen
                .push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    }

    fn type_in(&mut self, text: &str) {
        let typed = self.controller.write_all(text.as_bytes());
        typed.expect("it is typed");
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("the signal is sent");
    }

    /// Waits for the end; gives the exit status and the screen.
    fn finish(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        // Linux ends the reading with an error once nobody has the other end open.
        let _ = self.controller.read_to_end(&mut rest);
        self.screen.push_str(&String::from_utf8_lossy(&rest));
        let status = self.child.wait().expect("it ends");
        (status.code(), self.screen)
    }
}

/// Runs a command to its end with something typed at its terminal.
fn on_terminal(command: &mut Command, typed: &str) -> (Option<i32>, String) {
    let mut terminal = Terminal::start(command);
    terminal.type_in(typed);
    terminal.finish()
}

#[test]
fn what_cannot_be_undone_is_asked_about_on_a_terminal_alone() {
    let home = Home::new();
    let key = home.create_key(&["--name", "Production"]);
    let status = || home.json(&["show", "--id", &key.id])["status"].clone();
    for command in ["revoke", "rotate"] {
        for answer in ["n\n", "\n", "maybe\n"] {
            let (code, screen) =
                on_terminal(&mut home.command(&[command, "--id", &key.id]), answer);
            assert_eq!(code, Some(1), "{screen}");
            assert!(
                screen.contains("\"Production\"") && screen.contains("[y/N]"),
                "{screen}"
            );
            assert!(screen.contains("nothing was changed"), "{screen}");
            assert_eq!(status(), "active");
        }
    }
    let (code, screen) = on_terminal(&mut home.command(&["rotate", "--id", &key.id]), "y\n");
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(status(), "rotated");
    let (code, screen) = on_terminal(
        &mut home.command(&["revoke", "--id", &key.id, "--force"]),
        "",
    );
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains("[y/N]"), "{screen}");
    assert_eq!(status(), "revoked");

    let add = ["user", "add", "--username", "ada", "--password-stdin"];
    home.run_with_input(&add, "correct horse").success();
    for command in [
        &["user", "delete", "--username", "ada"][..],
        &["signing-key", "rotate", "--now"],
    ] {
        let (code, screen) = on_terminal(&mut home.command(command), "n\n");
        assert_eq!(code, Some(1), "{screen}");
        assert!(screen.contains("[y/N]"), "{screen}");
        assert!(screen.contains("nothing was changed"), "{screen}");
    }
    home.json(&["user", "show", "--username", "ada"]);
}

/// Whether what is typed shows.
fn echoes(terminal: &Terminal) -> bool {
    let modes = tcgetattr(&terminal.controller).expect("its modes");
    modes.local_modes.contains(LocalModes::ECHO)
}

#[test]
fn a_password_is_asked_for_twice_and_does_not_show() {
    let home = Home::new();
    let add = ["user", "add", "--username", "ada"];
    let mut terminal = Terminal::start(&mut home.command(&add));
    terminal.wait_for("New password of ada: ");
    assert!(!echoes(&terminal));
    terminal.type_in("correct horse\n");
    terminal.wait_for("The same again: ");
    terminal.type_in("correct horse\n");
    let kept = terminal.controller.try_clone().expect("a second handle");
    let (code, screen) = terminal.finish();
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains("horse"), "{screen}");
    let modes = tcgetattr(&kept).expect("its modes");
    assert!(modes.local_modes.contains(LocalModes::ECHO));

    let server = Server::start(&home);
    let body = json!({"username": "ada", "password": "correct horse"});
    let login = server.post("/api/auth/login").json(&body);
    login.send().expect(200);
}

#[test]
fn two_passwords_that_differ_change_nothing() {
    let home = Home::new();
    let add = ["user", "add", "--username", "ada"];
    let mut terminal = Terminal::start(&mut home.command(&add));
    terminal.wait_for("New password of ada: ");
    terminal.type_in("correct horse\n");
    terminal.wait_for("The same again: ");
    terminal.type_in("correct mouse\n");
    let (code, screen) = terminal.finish();
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("not the same"), "{screen}");
    assert!(!home.database().exists());
}

#[test]
fn a_question_for_a_password_that_is_broken_off_leaves_the_terminal_as_it_was() {
    let home = Home::new();
    let add = ["user", "add", "--username", "ada"];
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut terminal = Terminal::start(&mut home.command(&add));
        let kept = terminal.controller.try_clone().expect("a second handle");
        terminal.wait_for("New password of ada: ");
        assert!(!echoes(&terminal));
        terminal.type_in("correct ho");
        terminal.signal(signal);
        let (code, screen) = terminal.finish();
        assert_eq!(code, Some(1), "{screen}");
        assert!(screen.contains("no password was given"), "{screen}");
        let modes = tcgetattr(&kept).expect("its modes");
        assert!(modes.local_modes.contains(LocalModes::ECHO), "{signal:?}");
    }
    assert!(!home.database().exists());
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let coloured = |command: &mut Command| on_terminal(command, "").1.contains("\x1b[");
    assert!(coloured(&mut home.command(&["list"])));
    assert!(!coloured(home.command(&["list"]).env("NO_COLOR", "1")));
    assert!(!coloured(&mut home.command(&["list", "--json"])));
    for arguments in [&["list"][..], &["doctor"], &["logs"]] {
        let ran = home.run(arguments).success();
        assert!(
            !ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_table_is_no_wider_than_the_terminal() {
    let home = Home::new();
    let name = "a name that is a good deal longer than there is room for on such a terminal";
    home.create_key(&[
        "--name",
        name,
        "--permissions",
        "api:read api:write jobs:read jobs:write",
    ]);
    let (_, screen) = on_terminal(home.command(&["list"]).env("NO_COLOR", "1"), "");
    for line in screen.lines() {
        assert!(line.trim_end().chars().count() <= 80, "{line}");
    }
    let ran = home.run(&["list"]).success();
    assert!(ran.stdout.contains(name), "off a terminal nothing is cut");
}

#[test]
fn many_keys_come_with_progress() {
    let home = Home::new();
    let lines: Vec<String> = (0..2_500)
        .map(|n| format!("{{\"name\": \"key {n}\"}}"))
        .collect();
    let file = home.write("keys.jsonl", &lines.join("\n"));
    let mut command = home.command(&["create", "--from"]);
    let (code, screen) = on_terminal(command.arg(file), "");
    assert_eq!(code, Some(0));
    assert!(
        screen.contains("keys, ") && screen.contains(" a second"),
        "no progress"
    );
    assert!(screen.contains("Made 2,500 keys."), "no summary");
}

#[test]
fn a_server_on_a_terminal_greets_a_newcomer() {
    let home = Home::new();
    let mut terminal = Terminal::start(&mut home.command(&["serve", "--listen", "127.0.0.1:0"]));
    terminal.wait_for("curl http://127.0.0.1:");
    terminal.signal(Signal::INT);
    let (code, screen) = terminal.finish();
    assert_eq!(code, Some(0), "{screen}");
    for shown in [
        concat!(
            "Sealgate ",
            env!("CARGO_PKG_VERSION"),
            " is listening on http://127.0.0.1:"
        ),
        "create --name Admin --admin",
        "/api/auth/token -H \"X-API-Key: $KEY\"",
    ] {
        assert!(screen.contains(shown), "{shown} is not in {screen}");
    }
}

#[test]
fn the_passphrase_of_a_backup_is_asked_for_and_does_not_show() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let backup = ["backup", "--output", "store.age"];
    for (again, code) in [("another one", 1), ("correct horse battery", 0)] {
        let mut terminal = Terminal::start(&mut home.command(&backup));
        terminal.wait_for("Passphrase of the backup: ");
        assert!(!echoes(&terminal));
        terminal.type_in("correct horse battery\n");
        terminal.wait_for("The same again: ");
        terminal.type_in(&format!("{again}\n"));
        let (status, screen) = terminal.finish();
        assert_eq!(status, Some(code), "{screen}");
        assert!(!screen.contains("horse"), "{screen}");
        assert_eq!(home.here().join("store.age").exists(), code == 0);
    }

    let other = Home::new();
    std::fs::create_dir(other.data_dir()).expect("a data directory");
    std::fs::copy(home.master_key(), other.master_key()).expect("the key is copied");
    let file = home.here().join("store.age");
    let restore = ["restore", "--input", file.to_str().expect("UTF-8")];
    let mut terminal = Terminal::start(&mut other.command(&restore));
    terminal.wait_for("Passphrase of the backup: ");
    terminal.signal(Signal::INT);
    let (status, screen) = terminal.finish();
    assert_eq!(status, Some(1), "{screen}");
    let left = std::fs::read_dir(other.data_dir()).expect("a data directory");
    assert_eq!(left.count(), 1, "the master key alone");
    let mut terminal = Terminal::start(&mut other.command(&restore));
    terminal.wait_for("Passphrase of the backup: ");
    terminal.type_in("correct horse battery\n");
    let (status, screen) = terminal.finish();
    assert_eq!(status, Some(0), "{screen}");
    assert!(!screen.contains("horse"), "{screen}");
    other.run(&["logs", "--verify"]).success();
}

#[test]
fn a_backup_is_nothing_for_a_terminal() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let backup = ["backup", "--output", "-", "--unencrypted"];
    let (status, screen) = on_terminal(&mut home.command(&backup), "");
    assert_eq!(status, Some(2), "{screen}");
    assert!(screen.contains("nothing for a terminal"), "{screen}");
}

#[test]
fn a_move_shows_how_far_it_is_on_a_terminal() {
    let home = Home::new();
    home.create_key(&["--name", "x"]);
    let from = format!("sqlite:{}", home.database().display());
    let to = PostgresServer::shared().database();
    let migrate = ["migrate-store", "--from", &from, "--to", &to];
    let (status, screen) = on_terminal(&mut home.command(&migrate), "");
    assert_eq!(status, Some(0), "{screen}");
    assert!(
        screen.contains("%  ") && screen.contains(" rows, "),
        "{screen}"
    );
    assert!(screen.contains("audit log whole"), "{screen}");
    assert!(!screen.contains(PASSWORD), "{screen}");
}
