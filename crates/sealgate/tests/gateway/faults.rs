//! A service that is gone, slow, or sends what is no answer.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::Site;
use super::service::{Connection, PATIENCE, Service, header};
use crate::store_gone::Hold;
use crate::support::{Home, Response, Server, Stopwatch, asked_until};

/// Checks an answer that the service has no part in.
#[track_caller]
fn assert_fault(answer: &Response, status: u16, slug: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let envelope = answer.json();
    assert_eq!(envelope["error"], slug);
    assert_eq!(envelope["status_code"], status);
    assert_eq!(
        envelope["request_id"].as_str(),
        answer.header("x-request-id")
    );
    assert_eq!(envelope.as_object().map(serde_json::Map::len), Some(4));
}

fn failures(server: &Server, kind: &str) -> Option<String> {
    let metrics = server.get("/metrics").send().expect(200).body;
    let name = format!("sealgate_upstream_failures_total{{kind=\"{kind}\"}} ");
    let mut lines = metrics.lines();
    lines
        .find_map(|line| line.strip_prefix(&name))
        .map(str::to_owned)
}

#[test]
fn without_the_store_nobody_passes_once_the_last_news_are_too_old() {
    let site = Site::with(Service::echo(), |command| {
        command.env("SEALGATE_STORE_MAX_STALENESS_MS", "1000");
    });
    let at_last = |status| asked_until(status, PATIENCE, || site.request("GET", "/").send());
    at_last(200);
    let hold = Hold::of(&site.home);
    let refused = at_last(503);
    assert_fault(&refused, 503, "service_unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    drop(hold);
    at_last(200);
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

#[test]
fn a_service_that_is_gone_is_told_and_logged_and_found_again() {
    let home = Home::new();
    let key = home.create_key(&["--name", "client", "--permissions", "api:read"]);
    let address = nobody();
    let server = Server::start_with(&home, |command| {
        command.args(["--protect", &format!("http://{address}")]);
    });
    let answer = server.get("/orders").api_key(&key.api_key).send();
    assert_fault(&answer, 502, "bad_gateway");
    let request_id = answer
        .header("x-request-id")
        .expect("an identifier")
        .to_owned();
    assert_eq!(failures(&server, "unreachable").as_deref(), Some("1"));

    let listener = TcpListener::bind(address).expect("the port is free still");
    let service = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut connection = super::service::Connection::new(stream);
        connection.read_head().expect("a request");
        connection.answer(200, "", b"back")
    });
    let answer = server
        .get("/orders")
        .api_key(&key.api_key)
        .send()
        .expect(200);
    assert_eq!(answer.body, "back");
    assert!(service.join().expect("the service answers"));

    let (_, log) = server.stop();
    let line = log.lines().find(|line| line.contains(&request_id));
    let line = line.expect("a line of the request");
    assert!(
        line.contains("refused") && line.contains("bad_gateway"),
        "{line}"
    );
    assert!(!log.contains(&key.api_key), "{log}");
}

#[test]
fn a_service_that_takes_too_long_is_given_up() {
    let service = Service::start(|connection, head| {
        if head.starts_with("GET /slow ") {
            let (_, _) = connection.read_rest();
            return false;
        }
        connection.answer(200, "", b"ok")
    });
    let site = Site::with(service, |command| {
        command.env("SEALGATE_GATEWAY_RESPONSE_TIMEOUT_SECONDS", "1");
    });
    let answer = site.request("GET", "/slow").send();
    assert_fault(&answer, 504, "gateway_timeout");
    assert_eq!(failures(&site.server, "timeout").as_deref(), Some("1"));
    site.request("GET", "/").send().expect(200);
}

#[test]
fn an_upload_that_takes_longer_than_the_service_may_is_no_fault_of_the_service() {
    let site = Site::with(Service::echo(), |command| {
        command.env("SEALGATE_GATEWAY_RESPONSE_TIMEOUT_SECONDS", "1");
    });
    let mut client = site.open("POST / HTTP/1.1", "Content-Length: 4\r\n");
    for byte in [b"s", b"l", b"o", b"w"] {
        std::thread::sleep(std::time::Duration::from_millis(700));
        client.write(byte);
    }
    let head = client.read_head().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(client.read_body(&head).ends_with(b"slow"));
}

#[test]
fn what_is_no_answer_is_told_as_such() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nX-Large: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Many: 1\r\n".repeat(1_000));
    let site = Site::of(Service::start(move |connection, head| {
        let path = head.split(' ').nth(1).expect("a path");
        let answer: &[u8] = match path {
            "/garbage" => b"\x00\x01\x02 not HTTP at all\r\n\r\n",
            "/version" => b"HTTP/9.9 200 OK\r\n\r\n",
            "/status" => b"HTTP/1.1 xyz OK\r\n\r\n",
            "/header" => b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
            "/lengths" => b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            "/large" => large.as_bytes(),
            "/many" => many.as_bytes(),
            "/half" => b"HTTP/1.1 200 OK\r\ncontent-le",
            _ => b"",
        };
        connection.write(answer);
        false
    }));
    for path in [
        "/garbage", "/version", "/status", "/header", "/lengths", "/large", "/many",
    ] {
        assert_fault(&site.request("GET", path).send(), 502, "bad_gateway");
    }
    assert_eq!(failures(&site.server, "malformed").as_deref(), Some("7"));
    for path in ["/nothing", "/half"] {
        assert_fault(&site.request("GET", path).send(), 502, "bad_gateway");
    }
    assert_eq!(failures(&site.server, "closed").as_deref(), Some("2"));
}

#[test]
fn an_answer_that_breaks_off_is_seen_to_be_broken() {
    let site = Site::of(Service::start(|connection, head| {
        let answer: &[u8] = if head.starts_with("GET /chunked ") {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf"
        };
        connection.write(answer);
        false
    }));
    for (path, body) in [("/chunked", &b"4\r\nhalf\r\n"[..]), ("/length", b"half")] {
        let mut client = site.open(&format!("GET {path} HTTP/1.1"), "");
        let head = client.read_head().expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let whole = header(&head, "content-length") == Some("4");
        let (rest, _) = client.read_rest();
        assert!(!whole && body.starts_with(&rest), "{rest:?}");
    }
    assert_eq!(failures(&site.server, "broken_off").as_deref(), Some("2"));
}

/// Ends a connection as a machine does that has lost its memory: with a reset.
fn reset(connection: &Connection) {
    let socket = SockRef::from(connection.stream.get_ref());
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("an open socket");
}

#[test]
fn a_service_that_resets_the_connection_has_not_answered() {
    let site = Site::of(Service::start(|connection, head| {
        if head.starts_with("GET /half-a-head ") {
            connection.write(b"HTTP/1.1 200 OK\r\ncontent-le");
        }
        reset(connection);
        false
    }));
    for path in ["/no-answer", "/half-a-head"] {
        assert_fault(&site.request("GET", path).send(), 502, "bad_gateway");
    }
    let answer = site.request("POST", "/no-answer").send();
    assert_fault(&answer, 502, "bad_gateway");
    assert_eq!(failures(&site.server, "closed").as_deref(), Some("3"));
}

#[test]
fn an_answer_that_is_reset_in_its_body_is_seen_to_be_broken() {
    let (told, seen) = channel();
    let seen = Mutex::new(seen);
    let site = Site::of(Service::start(move |connection, head| {
        let answer: &[u8] = match head.split(' ').nth(1).expect("a path") {
            "/length" => b"content-length: 1000\r\n\r\nhalf",
            "/chunked" => b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            // To its end: an orderly one would be the end of the body.
            _ => b"connection: close\r\n\r\nhalf",
        };
        connection.write(&[b"HTTP/1.1 200 OK\r\n", answer].concat());
        let seen = seen.lock().expect("nobody panics");
        seen.recv_timeout(PATIENCE).expect("the client has seen it");
        reset(connection);
        false
    }));
    for path in ["/length", "/chunked", "/to-its-end"] {
        let mut client = site.open(&format!("GET {path} HTTP/1.1"), "");
        let head = client.read_head().expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        told.send(()).expect("the service goes on");
        let (rest, _) = client.read_rest();
        let rest = String::from_utf8(rest).expect("text");
        assert!(!rest.ends_with("0\r\n\r\n"), "{path}: {rest}");
        let is_whole = header(&head, "content-length") == Some(&*rest.len().to_string());
        let ends_anywhere = header(&head, "content-length").is_none()
            && header(&head, "transfer-encoding").is_none();
        assert!(!is_whole && !ends_anywhere, "{path}: {head}{rest}");
    }
    assert_eq!(failures(&site.server, "broken_off").as_deref(), Some("3"));
}

/// Asks a service that is given a second to be connected to.
fn ask_impatiently(url: &str) -> (Response, Server) {
    let home = Home::new();
    let key = home.create_key(&["--name", "client", "--permissions", "api:read"]);
    let server = Server::start_with(&home, |command| {
        command.args(["--protect", url]);
        command.env("SEALGATE_GATEWAY_CONNECT_TIMEOUT_SECONDS", "1");
    });
    let stopwatch = Stopwatch::start();
    let answer = server.get("/orders").api_key(&key.api_key).send();
    let elapsed = stopwatch.elapsed();
    let limits = Duration::from_millis(900)..Duration::from_secs(15);
    assert!(limits.contains(&elapsed), "{elapsed:?}: {answer:?}");
    (answer, server)
}

#[test]
fn a_service_that_takes_no_connection_is_given_up_in_time() {
    let busy = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    busy.bind(&any.into()).expect("a port");
    busy.listen(0).expect("it listens");
    let address = busy.local_addr().expect("an address");
    let address = address.as_socket().expect("an address of IP");
    // Nobody takes these, and the system takes no more once its queue is full.
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(stream);
    }
    let (answer, server) = ask_impatiently(&format!("http://{address}"));
    assert_fault(&answer, 502, "bad_gateway");
    assert_eq!(failures(&server, "unreachable").as_deref(), Some("1"));
}

#[test]
fn requests_are_counted_with_the_status_they_had_in_the_end() {
    let site = Site::of(Service::start(|connection, _| {
        connection.answer(404, "", b"")
    }));
    site.request("GET", "/a").send().expect(404);
    site.request("GET", "/b").send().expect(404);
    site.server.get("/c").send().expect(401);
    let metrics = site.server.get("/metrics").send().expect(200).body;
    for line in [
        r#"sealgate_requests_total{method="GET",route="gateway",status="404"} 2"#,
        r#"sealgate_requests_total{method="GET",route="gateway",status="401"} 1"#,
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}
