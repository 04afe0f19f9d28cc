//! The application behind a proxy: it takes whatever comes, and remembers it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A running application.
pub struct Application {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Application {
    /// Starts one.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::default();
        let sink = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let sink = Arc::clone(&sink);
                std::thread::spawn(move || serve(stream, &sink));
            }
        });
        Self { address, seen }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests since the last time.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().expect("the requests"))
    }
}

/// A request as the application saw it.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its first line.
    pub line: String,
    /// Its headers, in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Seen {
    /// Its method.
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// Its path and query.
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The values of a header.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let headers = self.headers.iter();
        let found = headers.filter(move |(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Answers the requests of a connection, until it ends.
fn serve(stream: TcpStream, sink: &Mutex<Vec<Seen>>) {
    let mut answers = stream.try_clone().expect("the connection");
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read(&mut stream) {
        let body = if seen.method() == "HEAD" { "" } else { "taken" };
        sink.lock().expect("the requests").push(seen);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}");
        // Who has gone away needs no answer.
        let _ = answers.write_all(answer.as_bytes());
    }
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut seen = Seen {
        line: line(stream)?,
        ..Seen::default()
    };
    loop {
        let line = line(stream)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        let header = (name.to_ascii_lowercase(), value.trim().to_owned());
        seen.headers.push(header);
    }
    let length = seen.values("content-length").next();
    let length = length.map_or(0, |length| length.parse().expect("a length"));
    seen.body = vec![0; length];
    stream.read_exact(&mut seen.body).ok()?;
    Some(seen)
}

fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).ok()?;
    let line = line.strip_suffix(b"\r\n")?;
    Some(String::from_utf8_lossy(line).into_owned())
}
