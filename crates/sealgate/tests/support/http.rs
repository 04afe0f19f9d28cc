//! A client for HTTP/1.1, small enough to hide nothing: one connection for each request.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::stopwatch::Stopwatch;

/// A request that is being put together.
pub struct Request {
    address: SocketAddr,
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        Self {
            address,
            line: format!("{method} {path} HTTP/1.1"),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Shows a managed key.
    #[must_use]
    pub fn api_key(self, key: &str) -> Self {
        self.header("X-API-Key", key)
    }

    /// Shows a token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Sends JSON along.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.header("Content-Type", "application/json")
    }

    /// Sends it, and reads the answer.
    pub fn send(self) -> Response {
        let stream = TcpStream::connect(self.address).expect("the server takes connections");
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).expect("a timeout");
        (&stream)
            .write_all(&self.bytes())
            .expect("the request is sent");
        Response::read(BufReader::new(stream))
    }

    /// Sends it, and reads the answer; nothing if the server goes away before the answer is whole.
    pub fn try_send(self) -> Option<Response> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.write_all(&self.bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let response = Response::read(answer.as_slice());
        let length = response.header("content-length")?.parse::<usize>().ok()?;
        (answer.len() == head + length).then_some(response)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{}\r\nHost: {}\r\nConnection: close\r\n",
            self.line, self.address
        );
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Response {
    /// The first header of a name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    fn read(mut stream: impl BufRead) -> Self {
        let status_line = line(&mut stream);
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        let mut response = Self {
            status: status.unwrap_or_else(|| panic!("no status: {status_line:?}")),
            headers: Vec::new(),
            body: String::new(),
        };
        loop {
            let line = line(&mut stream);
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            let header = (name.to_ascii_lowercase(), value.trim().to_owned());
            response.headers.push(header);
        }
        response.body = match response.header("transfer-encoding") {
            Some(_) => chunks(&mut stream),
            None => rest(&mut stream, response.header("content-length")),
        };
        response
    }
}

fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("a line of the answer");
    line.trim_end().to_owned()
}

fn rest(stream: &mut impl BufRead, length: Option<&str>) -> String {
    let length = length.map_or(u64::MAX, |length| length.parse().expect("a length"));
    let mut body = String::new();
    stream
        .take(length)
        .read_to_string(&mut body)
        .expect("the body of the answer");
    body
}

fn chunks(stream: &mut impl BufRead) -> String {
    let mut body = String::new();
    loop {
        let size = u64::from_str_radix(&line(stream), 16).expect("the size of a chunk");
        if size == 0 {
            return body;
        }
        stream
            .take(size)
            .read_to_string(&mut body)
            .expect("a chunk");
        line(stream);
    }
}

/// Asks until the answer has a status.
#[track_caller]
pub fn asked_until(status: u16, patience: Duration, ask: impl Fn() -> Response) -> Response {
    let since = Stopwatch::start();
    loop {
        let answer = ask();
        if answer.status == status {
            return answer;
        }
        assert!(since.elapsed() < patience, "{answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
