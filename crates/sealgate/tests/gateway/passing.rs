//! What passes, what does not, and how bodies go.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::Site;
use super::service::{PATIENCE, Service, header};
use crate::support::{Server, Stopwatch};

#[test]
fn what_is_not_honoured_is_stopped_and_told_in_the_envelope() {
    let site = Site::start();
    let reader = site
        .home
        .create_key(&["--name", "reader", "--permissions", "api:read"]);
    let request = |method: &str| site.server.request(method, "/orders");
    for (request, status, slug) in [
        (request("GET"), 401, "missing_api_key"),
        (request("GET").api_key("nonsense"), 401, "invalid_api_key"),
        (request("GET").bearer("nonsense"), 401, "invalid_token"),
        (
            request("POST").api_key(&reader.api_key),
            403,
            "permission_denied",
        ),
        (
            request("GET").api_key(&reader.api_key).bearer("x"),
            401,
            "invalid_token",
        ),
    ] {
        let answer = request.send().expect(status);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let envelope = answer.json();
        assert_eq!(envelope["error"], slug);
        let is_denied = envelope["message"] == "This request may not pass";
        assert_eq!(is_denied, status == 403, "{envelope}");
        let id = envelope["request_id"].as_str();
        assert_eq!(id, answer.header("x-request-id"));
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    }
    assert!(site.service.heads().is_empty());
    request("GET").api_key(&reader.api_key).send().expect(200);
}

#[test]
fn a_revoked_key_is_stopped_within_a_second() {
    let site = Site::start();
    site.request("GET", "/").send().expect(200);
    let revoke = ["revoke", "--id", &site.key.id, "--force"];
    site.home.run(&revoke).success();
    let stopwatch = Stopwatch::start();
    while site.request("GET", "/").send().status != 401 {
        assert!(stopwatch.elapsed() < Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_path_is_sealgates_as_it_is_documented_and_in_no_other_spelling() {
    let site = Site::start();
    for path in ["/healthz", "/api/openapi.json", "/.well-known/jwks.json"] {
        site.server.get(path).send().expect(200);
    }
    site.request("GET", "/api/auth/verify").send().expect(200);
    assert!(site.service.heads().is_empty());
    for path in [
        "/",
        "/healthz/",
        "/api/auth/verify/../x",
        "/api/auth/%76erify",
        "/api",
    ] {
        site.request("GET", path).send().expect(200);
        let line = format!("GET {path} HTTP/1.1\r\n");
        assert!(site.service.head().starts_with(&line), "{path}");
    }
}

#[test]
fn an_address_of_its_own_has_nothing_of_sealgates() {
    let service = Service::echo();
    let address = free_address();
    let site = Site::with(service, |command| {
        command.env("SEALGATE_GATEWAY_LISTEN", address.to_string());
    });
    let get = |path: &str| crate::support::Request::new(address, "GET", path);
    for path in ["/healthz", "/api/auth/verify", "/api/auth/keys"] {
        get(path).send().expect(401);
        get(path).api_key(&site.key.api_key).send().expect(200);
        assert!(site.service.head().starts_with(&format!("GET {path} ")));
    }
    site.server.get("/healthz").send().expect(200);
    site.request("GET", "/orders").send().expect(404);
    let (code, log) = site.server.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(&format!("at http://{address}")), "{log}");
}

/// A port that is free, most likely still when the server takes it.
fn free_address() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

#[test]
fn a_server_does_not_start_in_front_of_itself_or_of_nothing() {
    let home = crate::support::Home::new();
    let port = free_address();
    let itself = format!("http://{port}");
    let listen = port.to_string();
    let arguments = ["serve", "--listen", &listen, "--protect", &itself];
    home.run(&arguments).failure(1, "is this server itself");
    for url in ["127.0.0.1:3000", "http://127.0.0.1/app", "ftp://127.0.0.1"] {
        home.run(&["serve", "--protect", url]).failure(2, url);
    }
    home.write(
        "sealgate.toml",
        "[gateway]\nupstream = \"http://app/path\"\n",
    );
    home.run(&["serve"])
        .failure(1, "sealgate.toml:2: gateway.upstream: ");
    home.write("sealgate.toml", "[gateway]\nlisten = \"127.0.0.1:0\"\n");
    home.run(&["serve"]).failure(1, "gateway.upstream is not");
}

#[test]
fn a_body_goes_to_the_service_as_it_comes() {
    let (told, chunks) = channel();
    let site = Site::of(Service::start(move |connection, head| {
        assert_eq!(header(head, "transfer-encoding"), Some("chunked"));
        while let Some(chunk) = connection.read_chunk() {
            told.send(chunk).expect("the test goes on");
        }
        connection.answer(200, "", b"done")
    }));
    let mut client = site.open("POST /up HTTP/1.1", "Transfer-Encoding: chunked\r\n");
    for part in ["first", "second"] {
        client.write(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes());
        let chunk = chunks.recv_timeout(PATIENCE).expect("a chunk");
        assert_eq!(chunk, part.as_bytes());
    }
    client.write(b"0\r\n\r\n");
    let head = client.read_head().expect("an answer");
    assert_eq!(client.read_body(&head), b"done");
}

#[test]
fn trailers_of_a_request_do_not_reach_the_service() {
    let site = Site::of(Service::start(|connection, _| {
        let mut body = String::new();
        while !body.ends_with("\r\n\r\n") {
            connection.stream.read_line(&mut body).expect("the body");
        }
        connection.answer(200, "", body.as_bytes())
    }));
    let headers = "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTE: trailers\r\n";
    let mut client = site.open("POST / HTTP/1.1", headers);
    client.write(b"2\r\nok\r\n0\r\nX-Sum: 5\r\n\r\n");
    let head = client.read_head().expect("an answer");
    assert_eq!(client.read_body(&head), b"2\r\nok\r\n0\r\n\r\n");
}

#[test]
fn an_answer_comes_to_the_client_as_it_goes() {
    let (told, go_on) = channel();
    let go_on = std::sync::Mutex::new(go_on);
    let site = Site::of(Service::start(move |connection, _| {
        connection.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for part in ["first", "second"] {
            connection.write(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes());
            let go_on = go_on.lock().expect("nobody panics");
            go_on
                .recv_timeout(PATIENCE)
                .expect("the client has seen it");
        }
        connection.write(b"0\r\n\r\n")
    }));
    let mut client = site.open("GET /down HTTP/1.1", "");
    let head = client.read_head().expect("an answer");
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    for part in ["first", "second"] {
        assert_eq!(client.read_chunk().expect("a chunk"), part.as_bytes());
        told.send(()).expect("the service goes on");
    }
    assert_eq!(client.read_chunk(), None);
}

#[test]
fn a_large_body_both_ways_takes_little_memory() {
    const SIZE: usize = 100 << 20;
    let site = Site::of(Service::start(|connection, head| {
        let length = header(head, "content-length").expect("a length").to_owned();
        connection.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes());
        let mut left: usize = length.parse().expect("a length");
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let read = connection.stream.read(&mut buffer).expect("the body");
            assert!(read > 0 && connection.write(&buffer[..read]));
            left -= read;
        }
        true
    }));
    let before = peak_memory(&site.server);
    let mut client = site.open("POST / HTTP/1.1", &format!("Content-Length: {SIZE}\r\n"));
    let stream = client
        .stream
        .get_ref()
        .try_clone()
        .expect("a second handle");
    let sending = std::thread::spawn(move || send(stream, SIZE));
    let head = client.read_head().expect("an answer");
    let body = client.read_body(&head);
    sending.join().expect("the body is sent");
    assert!(body.len() == SIZE && body.iter().all(|byte| *byte == b'.'));
    let grown = peak_memory(&site.server) - before;
    assert!(grown < 32 << 10, "{grown} KiB");
}

fn send(mut stream: TcpStream, size: usize) {
    let part = vec![b'.'; 1 << 20];
    for _ in 0..size / part.len() {
        stream.write_all(&part).expect("the body is taken");
    }
}

/// The most memory that a server has had so far, in KiB.
fn peak_memory(server: &Server) -> usize {
    let path = format!("/proc/{}/status", server.id());
    let status = std::fs::read_to_string(path).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
    size.expect("the peak").trim().parse().expect("a number")
}

#[test]
fn a_client_that_waits_to_be_told_is_told_to_go_on_once_it_may() {
    let site = Site::start();
    let expect = "Content-Length: 2\r\nExpect: 100-continue\r\n";
    let mut client = site.open("POST / HTTP/1.1", expect);
    let head = client.read_head().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
    client.write(b"ok");
    let head = client.read_head().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(client.read_body(&head).ends_with(b"\r\n\r\nok"));
    assert_eq!(header(&site.service.head(), "expect"), None);

    let mut stranger = site.connect();
    stranger.write(format!("POST / HTTP/1.1\r\nHost: app\r\n{expect}\r\n").as_bytes());
    let head = stranger.read_head().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
}

#[test]
fn a_client_of_http_1_0_gets_a_body_without_chunks() {
    let site = Site::of(Service::start(|connection, head| {
        assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
        connection
            .write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    }));
    let mut client = site.open("GET / HTTP/1.0", "");
    let head = client.read_head().expect("an answer");
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    assert_eq!(header(&head, "transfer-encoding"), None);
    assert_eq!(client.read_rest(), (b"ok".to_vec(), true));
}

#[test]
fn a_head_request_is_answered_with_the_length_and_no_body() {
    let site = Site::of(Service::start(|connection, head| {
        assert!(head.starts_with("HEAD / "), "{head}");
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n")
    }));
    let mut client = site.open("HEAD / HTTP/1.1", "Connection: close\r\n");
    let head = client.read_head().expect("an answer");
    assert_eq!(header(&head, "content-length"), Some("1234"));
    assert_eq!(client.read_rest(), (Vec::new(), true));
}

#[test]
fn a_body_that_was_refused_is_never_taken_for_the_next_request() {
    let site = Site::start();
    let key = &site.key.api_key;
    let smuggled = format!("GET /smuggled HTTP/1.1\r\nHost: app\r\nX-API-Key: {key}\r\n\r\n");
    for length in [smuggled.len(), smuggled.len() + 200_000] {
        let mut client = site.connect();
        let head = format!("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: {length}\r\n\r\n");
        client.write(format!("{head}{smuggled}").as_bytes());
        let refusal = client.read_head().expect("an answer");
        assert!(refusal.starts_with("HTTP/1.1 401 "), "{refusal}");
        client.read_body(&refusal);
        let next = format!(
            "GET /next HTTP/1.1\r\nHost: app\r\nConnection: close\r\nX-API-Key: {key}\r\n\r\n"
        );
        if length == smuggled.len() && client.write(next.as_bytes()) {
            let (rest, _) = client.read_rest();
            let rest = String::from_utf8_lossy(&rest);
            assert!(
                rest.is_empty() || rest.starts_with("HTTP/1.1 200 "),
                "{rest}"
            );
        }
    }
    let heads = site.service.heads();
    assert!(
        heads.iter().all(|head| head.starts_with("GET /next ")),
        "{heads:?}"
    );
}

#[test]
fn a_client_that_goes_in_the_middle_of_its_body_leaves_nothing_behind() {
    let (told, ends) = channel();
    let site = Site::of(Service::start(move |connection, _| {
        let (rest, _) = connection.read_rest();
        told.send(rest).expect("the test goes on");
        false
    }));
    let mut client = site.open("POST / HTTP/1.1", "Content-Length: 1000\r\n");
    client.write(b"half");
    site.service.head();
    client
        .stream
        .get_mut()
        .shutdown(Shutdown::Both)
        .expect("it is open");
    assert_eq!(ends.recv_timeout(PATIENCE).expect("the end"), b"half");
}

#[test]
fn a_connection_to_the_service_is_used_again() {
    let (told, connections) = channel();
    let site = Site::of(Service::start(move |connection, _| {
        let peer = connection.stream.get_ref().peer_addr().expect("a peer");
        told.send(peer.port()).expect("the test goes on");
        connection.answer(200, "", b"ok")
    }));
    for _ in 0..5 {
        site.request("GET", "/").send().expect(200);
    }
    let ports: std::collections::BTreeSet<u16> = connections.try_iter().collect();
    // A client that has its answer may ask again before the connection to the service is given back.
    assert!(ports.len() < 5, "{ports:?}");
}

#[test]
fn a_connection_that_the_service_has_closed_is_not_used_again() {
    let (told, closed) = channel();
    let site = Site::of(Service::start(move |connection, _| {
        connection.answer(200, "", b"ok");
        let stream = connection.stream.get_ref();
        stream.shutdown(Shutdown::Both).expect("it is open");
        told.send(()).expect("the test goes on");
        false
    }));
    for _ in 0..5 {
        site.request("POST", "/").send().expect(200);
        closed.recv_timeout(PATIENCE).expect("it closes");
    }
    assert_eq!(site.service.heads().len(), 5);
}

#[test]
fn a_body_of_unknown_length_arrives_or_is_refused() {
    let site = Site::start();
    for method in ["GET", "HEAD"] {
        let line = format!("{method} /search HTTP/1.1");
        let mut client = site.open(&line, "Transfer-Encoding: chunked\r\n");
        client.write(b"5\r\nquery\r\n0\r\n\r\n");
        let head = client.read_head().expect("an answer");
        assert!(head.starts_with("HTTP/1.1 400 "), "{method}: {head}");
    }
    assert_eq!(site.service.heads().len(), 0);
    for method in ["DELETE", "OPTIONS", "POST"] {
        let line = format!("{method} /search HTTP/1.1");
        let mut client = site.open(&line, "Transfer-Encoding: chunked\r\n");
        client.write(b"5\r\nquery\r\n0\r\n\r\n");
        let head = client.read_head().expect("an answer");
        assert!(client.read_body(&head).ends_with(b"query"), "{method}");
    }
}

#[test]
fn a_body_is_taken_while_the_client_takes_nothing_of_the_answer() {
    const SIZE: usize = 32 << 20;
    let (told, taken) = channel();
    let site = Site::of(Service::start(move |connection, _| {
        let mut left = SIZE - connection.stream.buffer().len();
        let mut answering = connection.stream.get_ref();
        let mut stream = answering.try_clone().expect("a second handle");
        let told = told.clone();
        let reading = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while left > 0 {
                let read = stream.read(&mut buffer).expect("the body");
                assert!(read > 0, "{left} bytes are left");
                left -= read;
            }
            told.send(()).expect("the test goes on");
        });
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        answering.write_all(head.as_bytes()).expect("it is open");
        answering.write_all(&vec![b'.'; SIZE]).expect("it is open");
        reading.join().expect("the body is taken");
        true
    }));
    let mut client = site.open("POST / HTTP/1.1", &format!("Content-Length: {SIZE}\r\n"));
    let stream = client.stream.get_ref();
    send(stream.try_clone().expect("a second handle"), SIZE);
    taken.recv_timeout(PATIENCE).expect("the body is taken");
    let head = client.read_head().expect("an answer");
    assert_eq!(client.read_body(&head).len(), SIZE);
}

#[test]
fn each_use_is_durable_before_the_service_hears_of_it_if_all_are_recorded() {
    let home = crate::support::Home::new();
    let key = home.create_key(&["--name", "client", "--permissions", "api:read"]);
    let database = home.database();
    let (told, counts) = channel();
    let service = Service::start(move |connection, _| {
        told.send(uses(&database)).expect("the test goes on");
        connection.answer(200, "", b"ok")
    });
    let url = service.url();
    let server = Server::start_with(&home, |command| {
        command
            .args(["--protect", &url])
            .env("SEALGATE_AUDIT_REQUESTS", "all");
    });
    let before = uses(&home.database());
    for expected in 1..=3 {
        server
            .get("/orders")
            .api_key(&key.api_key)
            .send()
            .expect(200);
        let count = counts.recv_timeout(PATIENCE).expect("the service is asked");
        assert_eq!(count, before + expected);
    }
}

/// How many records the audit log has, by the store itself.
fn uses(database: &std::path::Path) -> usize {
    let home = database.parent().expect("a data directory");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["logs", "--json", "--limit", "200"])
        .env_clear()
        .env("SEALGATE_DATA_DIR", home)
        .output()
        .expect("the program runs");
    let log: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let events = log["events"].as_array().or_else(|| log["logs"].as_array());
    events.map_or(0, Vec::len)
}
