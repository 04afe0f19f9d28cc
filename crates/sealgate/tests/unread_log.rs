//! A server whose log nobody reads, as behind a pipe to a program that stands still.

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::serve::begin_request;
use crate::support::{Home, Request, Stopwatch};

/// Some hundred bytes each: many times what a pipe holds, and more than waits in memory.
const LINES: usize = 5_000;

struct Unread {
    child: Child,
    address: SocketAddr,
    /// Kept open, since a pipe without a reader is another matter.
    _log: BufReader<PipeReader>,
    writer: PipeWriter,
}

impl Unread {
    /// Starts a server and reads no more of its log than where it listens.
    fn start(home: &Home, has_stdout_too: bool) -> Self {
        let (log, writer) = pipe().expect("a pipe");
        let stdout = if has_stdout_too {
            Stdio::from(writer.try_clone().expect("another end"))
        } else {
            Stdio::null()
        };
        let child = home
            .command(&["--quiet", "serve", "--listen", "127.0.0.1:0"])
            .stderr(writer.try_clone().expect("another end"))
            .stdout(stdout)
            .spawn()
            .expect("the server starts");
        let (mut log, mut line) = (BufReader::new(log), String::new());
        let address = loop {
            line.clear();
            log.read_line(&mut line).expect("a line");
            let url = line.split_once("listening on http://").map(|(_, url)| url);
            if let Some(address) = url.and_then(|url| url.split(['"', ' ', '\n']).next()) {
                break address.parse().expect("an address");
            }
        };
        Self {
            child,
            address,
            _log: log,
            writer,
        }
    }

    /// Has more logged than has room anywhere; says how many lines were lost.
    fn fill(&self) -> usize {
        for _ in 0..2 {
            refuse(self.address, LINES / 2);
        }
        self.fill_pipe();
        let metrics = Request::new(self.address, "GET", "/metrics").send();
        let metrics = metrics.expect(200).body;
        let lost = metrics
            .lines()
            .find_map(|line| line.strip_prefix("sealgate_log_lines_lost_total "));
        lost.expect("it is told").parse().expect("a number")
    }

    /// Leaves no room for a shorter line either.
    fn fill_pipe(&self) {
        let path = format!("/proc/self/fd/{}", self.writer.as_raw_fd());
        // Opened anew, so that the server's end of it is not one that does not block.
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        let end = rustix::fs::open(path, flags, Mode::empty()).expect("a pipe");
        while rustix::io::write(&end, b"x").is_ok() {}
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// How it ended; nothing if it runs for too long.
    fn ends(&mut self) -> Option<ExitStatus> {
        let clock = Stopwatch::start();
        while clock.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().expect("it was started") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends so many requests that are refused, and waits for the answers.
fn refuse(address: SocketAddr, count: usize) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let patience = Some(Duration::from_mins(1));
    stream.set_read_timeout(patience).expect("a time limit");
    let request = b"GET /api/auth/profile HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut left, mut buffer) = (count, [0; 16_384]);
    while left > 0 {
        let many = left.min(100);
        stream.write_all(&request.repeat(many)).expect("it reads");
        let (mut answered, mut answers) = (0, String::new());
        while answered < many {
            let read = stream.read(&mut buffer).expect("answers in time");
            assert!(read > 0, "the connection ended");
            answers.push_str(&String::from_utf8_lossy(&buffer[..read]));
            answered = answers.matches("HTTP/1.1 401").count();
        }
        left -= many;
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let home = Home::new();
    let mut server = Unread::start(&home, false);
    let lost = server.fill();
    assert!((1..LINES).contains(&lost), "{lost}");
    server.signal(Signal::TERM);
    assert!(server.ends().expect("it ends").success());
}

#[test]
fn a_second_signal_ends_a_server_though_nobody_takes_its_last_words() {
    let home = Home::new();
    let key = home.create_key(&["--name", "x", "--permissions", "api:write"]);
    let mut server = Unread::start(&home, true);
    server.fill();
    let _under_way = begin_request(server.address, &key);
    Request::new(server.address, "GET", "/healthz")
        .send()
        .expect(200);
    server.signal(Signal::TERM);
    while TcpStream::connect(server.address).is_ok() {}
    server.signal(Signal::TERM);
    let status = server.ends().expect("it ends");
    assert_eq!(status.code(), Some(1));
}
