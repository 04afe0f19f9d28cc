//! What tests of the real program stand on: a [`Home`] for its files, [`Server`]s that run in it, and
//! a client for HTTP.
//!
//! ```ignore
//! let home = Home::new();
//! let admin = home.create_key(&["--name", "Admin", "--admin"]);
//! let server = Server::start(&home);
//! let answer = server.get("/api/auth/keys").api_key(&admin.api_key).send();
//! assert_eq!(answer.status, 200);
//! assert_eq!(answer.json()["keys"][0]["name"], "Admin");
//! ```

mod http;
mod server;
mod stopwatch;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub use self::http::{Request, Response, asked_until};
pub use self::server::Server;
pub use self::stopwatch::Stopwatch;

/// A directory to run in, with a data directory beside it; both are gone when it is dropped.
///
/// Nothing of the surroundings is seen from here: the environment is empty but for what a test adds.
pub struct Home(TempDir);

impl Home {
    /// A new one, without a store.
    pub fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a temporary directory"));
        fs::create_dir(home.path().join("here")).expect("a directory to run in");
        home
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where commands run.
    pub fn here(&self) -> PathBuf {
        self.path().join("here")
    }

    /// Where the store and the master key are.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The master key's file.
    pub fn master_key(&self) -> PathBuf {
        self.data_dir().join("master.key")
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.data_dir().join("sealgate.db")
    }

    /// Writes a file to where commands run.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.here().join(name);
        fs::write(&path, text).expect("a file is written");
        path
    }

    /// The program, about to run with these arguments.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .env("SEALGATE_DATA_DIR", self.data_dir())
            .current_dir(self.here())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Runs the program with a text on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        Ran::with_input(&mut self.command(arguments), input)
    }

    /// Runs the program with `--json`, which has to succeed, and gives what it printed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat())
            .success()
            .json()
    }

    /// Makes a key.
    pub fn create_key(&self, arguments: &[&str]) -> Key {
        let made = self.json(&[&["create"], arguments].concat());
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Key {
            id: text(&made["key"]["key_id"]),
            prefix: text(&made["key"]["prefix"]),
            api_key: text(&made["api_key"]),
        }
    }
}

/// A key that was made.
#[expect(
    clippy::struct_field_names,
    reason = "`api_key` is its name in every interface"
)]
pub struct Key {
    /// Its identifier.
    pub id: String,
    /// Its first eight characters.
    pub prefix: String,
    /// The key itself.
    pub api_key: String,
}

/// What a program came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said besides.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        command.output().expect("the program starts").into()
    }

    /// Runs a command to its end, with a text on its standard input.
    pub fn with_input(command: &mut Command, input: &str) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("its input is a pipe");
        let input = input.to_owned();
        let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let ran = child.wait_with_output().expect("the program ends").into();
        // It may have stopped reading, which is no concern of the test.
        let _ = writing.join();
        ran
    }

    /// Checks that it succeeded.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Checks that it failed with this exit status, and said this.
    #[track_caller]
    pub fn failure(self, code: i32, says: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(
            self.stderr.contains(says),
            "{says:?} is not in {}",
            self.stderr
        );
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
