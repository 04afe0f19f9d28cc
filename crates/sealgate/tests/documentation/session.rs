//! One shell for a page: its blocks run one after another in a directory of their own, so that
//! variables and files carry over, against a server that is started as the page says.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::output;
use super::page::{Page, Step};
use crate::postgres_server::PostgresServer;

/// How long a page may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often to look whether it has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// The URL that pages give a database of PostgreSQL.
const DATABASE: &str = "postgres://sealgate:correct-horse-battery@127.0.0.1:5432/sealgate";

/// What goes before the commands of a page: `sealgate serve`, which on the page has a terminal of
/// its own, here goes into the background, in the place of the one that ran before.
const PRELUDE: &str = r#"
server=
stop() {
    if [[ -n $server ]]; then
        kill "$server"
        wait "$server" || true
        server=
    fi
}
trap stop EXIT
sealgate() {
    if [[ ${1:-} != serve ]]; then
        command sealgate "$@"
        return
    fi
    stop
    command sealgate "$@" >>"$session/server.log" 2>&1 &
    server=$!
    local i
    for i in {1..200}; do
        if curl -sfko "$session/ready" "http://$SEALGATE_LISTEN/readyz" ||
            curl -sfko "$session/ready" "https://$SEALGATE_LISTEN/readyz"; then
            return 0
        fi
        kill -0 "$server" || return 1
        sleep 0.05
    done
    return 1
}
"#;

/// Runs a page; gives what is wrong with it.
pub fn run(page: &Page) -> Vec<String> {
    let session = Session::new();
    let status = session.play(&session.script(page));
    let mut failures = session.compare(page);
    if !status.is_some_and(|status| status.success()) {
        failures.push(session.describe_end(page, status));
    }
    failures
}

struct Session {
    directory: TempDir,
    /// In place of 8080, where a page has its server.
    port: u16,
    /// In place of 9180, where a page has something else that listens.
    other_port: u16,
}

impl Session {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["bin", "here", "home", "out"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let program = directory.path().join("bin/sealgate");
        symlink(env!("CARGO_BIN_EXE_sealgate"), program).expect("a link to the program");
        Self {
            directory,
            port: free_port(),
            other_port: free_port(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn script(&self, page: &Page) -> String {
        let mut script = PRELUDE.to_owned();
        if !starts_with_a_server(page) {
            script.push_str("sealgate serve\n");
        }
        script.extend(page.steps.iter().map(|step| self.lines_of(step)));
        script.push_str("echo end >\"$session/at\"\n");
        script
    }

    fn lines_of(&self, step: &Step) -> String {
        match step {
            Step::Write { file, text } => {
                let text = self.adapted(text);
                format!("cat >{file} <<'END OF FILE'\n{text}END OF FILE\n")
            }
            Step::Run(commands) => {
                let (line, text) = (commands.line, self.adapted(&commands.text));
                // Nobody reads and types faster: what the server writes in the background is there.
                format!(
                    "sleep 0.2\necho {line} >\"$session/at\"\nexec >\"$session/out/{line}\" 2>&1\n{text}"
                )
            }
        }
    }

    /// The page's text with the ports, the program and the database of this session.
    fn adapted(&self, text: &str) -> String {
        let text = text
            .replace("cargo run --release -- ", "sealgate ")
            .replace("8080", &self.port.to_string())
            .replace("9180", &self.other_port.to_string());
        if text.contains(DATABASE) {
            text.replace(DATABASE, &PostgresServer::shared().database())
        } else {
            text
        }
    }

    /// Runs a script; nothing if it does not end.
    fn play(&self, script: &str) -> Option<ExitStatus> {
        let file = self.path("script");
        fs::write(&file, script).expect("the script is written");
        let log = fs::File::create(self.path("shell.log")).expect("a log");
        let child = Command::new("bash")
            .args(["-euo", "pipefail"])
            .arg(file)
            .current_dir(self.path("here"))
            .env_clear()
            .env("PATH", self.search_path())
            .env("HOME", self.path("home"))
            .env("LANG", "C.UTF-8")
            .env("SEALGATE_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("session", self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("bash starts");
        Group(child).wait()
    }

    /// Our program first, then the Python that has the packages which pages ask for.
    fn search_path(&self) -> String {
        let python = std::env::var("SEALGATE_TEST_PYTHON")
            .expect("SEALGATE_TEST_PYTHON names a Python with PyJWT; scripts/test sets it up");
        let python = Path::new(&python);
        assert!(python.exists(), "there is no {}", python.display());
        let python = python.parent().unwrap_or(Path::new("."));
        let rest = std::env::var("PATH").unwrap_or_default();
        let own = self.path("bin");
        format!("{}:{}:{rest}", own.display(), python.display())
    }

    /// Compares what was printed with what the page shows, as far as the page was run.
    fn compare(&self, page: &Page) -> Vec<String> {
        let mut failures = Vec::new();
        for commands in page.commands() {
            let line = commands.line;
            let Ok(printed) = fs::read_to_string(self.path(&format!("out/{line}"))) else {
                break;
            };
            if let Err(difference) = output::compare(commands.expected.as_ref(), &printed) {
                failures.push(format!("{}:{line}: {difference}\n{printed}", page.name));
            }
        }
        failures
    }

    /// What was going on when the page came to its end, or did not.
    fn describe_end(&self, page: &Page, status: Option<ExitStatus>) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        let line = read("at").trim().to_owned();
        let how = match status {
            Some(status) => status.to_string(),
            None => format!("it did not end in {} s", PATIENCE.as_secs()),
        };
        let printed = read(&format!("out/{line}"));
        format!(
            "{}:{line}: {how}\n{printed}{}server:\n{}",
            page.name,
            read("shell.log"),
            read("server.log")
        )
    }
}

/// A port that is free now, and that the system gives to nobody who asks for any: those begin at
/// 32,768. Another page takes another, and so most likely does another run of this test.
fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 10_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(101);
    let ports = std::iter::repeat_with(|| {
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(taken) % COUNT;
        u16::try_from(port).expect("a port")
    });
    let free = ports
        .take(1_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a free port")
}

/// Whether the first thing that a page does is to start its server.
fn starts_with_a_server(page: &Page) -> bool {
    let first = page.commands().next();
    first.is_some_and(|commands| commands.text.starts_with("cargo run --release -- serve"))
}

/// A shell with all that it started; none of it outlives this.
struct Group(Child);

impl Group {
    fn wait(mut self) -> Option<ExitStatus> {
        let looks = PATIENCE.as_millis() / PAUSE.as_millis();
        for _ in 0..looks {
            if let Some(status) = self.0.try_wait().expect("bash can be waited for") {
                return Some(status);
            }
            std::thread::sleep(PAUSE);
        }
        self.end();
        None
    }

    fn end(&mut self) {
        let leader = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process_group(leader.expect("a process id"), Signal::KILL);
        let _ = self.0.wait();
    }
}
