//! The languages that tests run examples and other implementations in. Nothing is skipped where one is
//! missing: the test fails, and says who installs it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Home, Ran};

/// A program that runs where commands run, with nothing of the surroundings but the search path.
pub fn program(home: &Home, name: impl AsRef<OsStr>) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", home.path())
        .current_dir(home.here());
    command
}

/// The Python with the packages that tests need.
pub fn python(home: &Home) -> Command {
    let python = std::env::var_os("SEALGATE_TEST_PYTHON")
        .expect("SEALGATE_TEST_PYTHON names a Python; scripts/test sets it up");
    program(home, python)
}

/// Go, which must neither fetch anything nor write outside the build directory.
pub fn go(home: &Home) -> Command {
    let mut go = program(home, "go");
    go.env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/go-cache"))
        .env("GOPROXY", "off")
        .env("GOFLAGS", "-mod=mod")
        .env("GOTOOLCHAIN", "local");
    go
}

/// Runs a program to its end, which has to be a good one; gives what it printed.
#[track_caller]
pub fn run(command: &mut Command, input: &str) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.unwrap_or_else(|error| {
        panic!("this test needs {name}, which scripts/test installs: {error}")
    });
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    let input = input.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let ran = Ran::from(child.wait_with_output().expect("the program ends"));
    // It may not have read to the end, which shows in what it printed.
    let _ = writing.join();
    ran.success().stdout
}
