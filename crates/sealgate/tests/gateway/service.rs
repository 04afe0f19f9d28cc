//! A service behind the gateway, down to the bytes: it keeps what it was sent, and answers what the
//! test says.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A service that listens until the test ends.
pub struct Service {
    address: SocketAddr,
    heads: Receiver<String>,
}

/// A connection to it.
pub struct Connection {
    pub stream: BufReader<TcpStream>,
}

/// What it does with a request; whether the connection goes on.
type Answer = dyn Fn(&mut Connection, &str) -> bool + Send + Sync;

impl Service {
    pub fn start(answer: impl Fn(&mut Connection, &str) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (told, heads) = channel();
        let answer: Arc<Answer> = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (told, answer) = (told.clone(), Arc::clone(&answer));
                std::thread::spawn(move || converse(stream, &told, &*answer));
            }
        });
        Self { address, heads }
    }

    /// One that answers with the head that it was sent, and takes the body that belongs to it.
    pub fn echo() -> Self {
        Self::start(|connection, head| {
            let body = connection.read_body(head);
            let text = [head.as_bytes(), &body].concat();
            connection.answer(200, "", &text)
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The head of the next request that came.
    pub fn head(&self) -> String {
        self.heads.recv_timeout(PATIENCE).expect("a request comes")
    }

    /// The heads of all requests that came and were not asked for.
    pub fn heads(&self) -> Vec<String> {
        self.heads.try_iter().collect()
    }
}

fn converse(stream: TcpStream, told: &Sender<String>, answer: &Answer) {
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit");
    let mut connection = Connection {
        stream: BufReader::new(stream),
    };
    while let Some(head) = connection.read_head() {
        // The test may be over.
        let _ = told.send(head.clone());
        if !answer(&mut connection, &head) {
            return;
        }
    }
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// The next head with the empty line at its end; nothing if no more comes.
    pub fn read_head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read_until(b'\n', &mut head) {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
        Some(String::from_utf8(head).expect("a head in ASCII"))
    }

    /// The body that a head announces.
    pub fn read_body(&mut self, head: &str) -> Vec<u8> {
        let mut body = Vec::new();
        if header(head, "transfer-encoding").is_some() {
            while let Some(chunk) = self.read_chunk() {
                body.extend(chunk);
            }
        } else if let Some(length) = header(head, "content-length") {
            body.resize(length.parse().expect("a length"), 0);
            self.stream.read_exact(&mut body).expect("the body");
        }
        body
    }

    /// The next chunk; nothing at the end.
    pub fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a chunk's size");
        let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).expect("a chunk");
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// What comes until the end; whether it is an orderly one.
    pub fn read_rest(&mut self) -> (Vec<u8>, bool) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => (rest, true),
            Err(error) => {
                let kind = error.kind();
                assert_ne!(kind, ErrorKind::WouldBlock, "the connection stays open");
                (rest, false)
            }
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Answers, with more headers if there are any, each with a line's end.
    pub fn answer(&mut self, status: u16, headers: &str, body: &[u8]) -> bool {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} As Told\r\ncontent-length: {length}\r\n{headers}\r\n");
        self.write(head.as_bytes()) && self.write(body)
    }
}

/// The value of a header.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut values = headers(head).filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let (_, value) = values.next()?;
    assert!(values.next().is_none(), "{name} is there twice: {head}");
    Some(value)
}

/// All headers of a head.
pub fn headers(head: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = head.split("\r\n").skip(1);
    lines.filter_map(|line| line.split_once(": "))
}
