//! What a proxy says to Sealgate: a relay between the two, which listens.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A running relay.
pub struct Tap {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
}

struct Heard {
    /// Whom to pass things to.
    sealgate: SocketAddr,
    connections: usize,
    questions: Vec<u8>,
}

impl Tap {
    /// Starts one in front of a server.
    pub fn start(sealgate: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Heard {
            sealgate,
            connections: 0,
            questions: Vec::new(),
        }));
        let sink = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let sink = Arc::clone(&sink);
                std::thread::spawn(move || relay(&stream, &sink));
            }
        });
        Self { address, heard }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes things to another server from now on.
    pub fn turn_to(&self, sealgate: SocketAddr) {
        self.heard.lock().expect("what was heard").sealgate = sealgate;
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.heard.lock().expect("what was heard").connections
    }

    /// The values of a header, of these names in lower case, in the questions since the last time.
    pub fn told(&self, names: [&str; 2]) -> Vec<String> {
        let questions = std::mem::take(&mut self.heard.lock().expect("what was heard").questions);
        let questions = String::from_utf8_lossy(&questions);
        let headers = questions
            .split("\r\n")
            .filter_map(|line| line.split_once(": "));
        let found = headers.filter(|(name, _)| names.contains(&&*name.to_ascii_lowercase()));
        found.map(|(_, value)| value.to_owned()).collect()
    }
}

/// Passes things on, until one of the two has gone.
fn relay(client: &TcpStream, sink: &Mutex<Heard>) {
    let sealgate = {
        let mut heard = sink.lock().expect("what was heard");
        heard.connections += 1;
        heard.sealgate
    };
    let Ok(server) = TcpStream::connect(sealgate) else {
        return;
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let hear = |bytes: &[u8]| {
                let mut heard = sink.lock().expect("what was heard");
                heard.questions.extend_from_slice(bytes);
            };
            pass(client, &server, hear)
        });
        scope.spawn(|| pass(&server, client, |_| ()));
    });
}

/// Passes bytes on after showing them; how it ends is no concern of the test.
fn pass(mut from: &TcpStream, mut to: &TcpStream, show: impl Fn(&[u8])) -> io::Result<()> {
    let mut buffer = [0; 16_384];
    loop {
        let length = from.read(&mut buffer).unwrap_or(0);
        show(&buffer[..length]);
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            from.shutdown(Shutdown::Both)?;
            return to.shutdown(Shutdown::Both);
        }
    }
}
