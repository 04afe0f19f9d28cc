//! What the gate saw is what the service gets: requests that two readers could read differently.

use super::Site;
use super::service::header;

/// Sends bytes on a new connection, `KEY` in them standing for the key; gives the status, and what else
/// was answered.
fn send(site: &Site, bytes: &[u8]) -> (String, String) {
    let text = replace(bytes, b"KEY", site.key.api_key.as_bytes());
    let mut client = site.connect();
    client.write(&text);
    let _ = client.stream.get_mut().shutdown(std::net::Shutdown::Write);
    let (answer, _) = client.read_rest();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    (status, answer)
}

fn replace(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let (mut replaced, mut rest) = (Vec::new(), bytes);
    while let Some(place) = rest.windows(what.len()).position(|it| it == what) {
        replaced.extend_from_slice(&rest[..place]);
        replaced.extend_from_slice(by);
        rest = &rest[place + what.len()..];
    }
    assert_ne!(rest.len(), bytes.len(), "a key is sent");
    replaced.extend_from_slice(rest);
    replaced
}

#[test]
fn the_line_of_a_request_arrives_byte_by_byte() {
    let site = Site::start();
    for target in [
        "/",
        "/?",
        "/?a=b?c&d=%00",
        "//a///b",
        "/a/../b/./c",
        "/a%2Fb%2f%2e%2E%5c",
        "/a;x=1/b",
        "/a\\b",
        "/%zz%",
        "/caf\u{e9}",
        "/a|b^c{d}\"e",
        "/a%2525b",
        "/~user/@me/!$&'()*+,=:",
    ] {
        for method in ["GET", "POST", "get", "X-Own"] {
            let line = format!("{method} {target} HTTP/1.1\r\n");
            let (status, answer) = send(
                &site,
                format!("{line}Host: app\r\nX-API-Key: KEY\r\nConnection: close\r\n\r\n")
                    .as_bytes(),
            );
            assert_eq!(status, "200", "{line:?}: {answer}");
            let head = site.service.head();
            assert!(head.starts_with(&line), "{line:?}: {head:?}");
        }
    }
    let options = b"OPTIONS * HTTP/1.1\r\nHost: app\r\nX-API-Key: KEY\r\n\r\n";
    assert_eq!(send(&site, options).0, "200");
    assert!(site.service.head().starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[test]
fn an_absolute_target_goes_on_as_a_path_if_its_host_is_the_one_that_is_asked() {
    let site = Site::start();
    let ask = |target: &str, host: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: KEY\r\n\r\n");
        send(&site, head.as_bytes()).0
    };
    assert_eq!(ask("http://app/a/../b?c=d", "app"), "200");
    let head = site.service.head();
    assert!(head.starts_with("GET /a/../b?c=d HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some("app"));
    assert_eq!(ask("http://app", "app"), "200");
    assert!(site.service.head().starts_with("GET / HTTP/1.1\r\n"));
    for (target, host) in [
        ("http://other/a", "app"),
        ("http://app:81/a", "app"),
        ("http://user@app/a", "app"),
        ("app:80", "app:80"),
        ("*", "app"),
        ("/a", "app/../admin"),
        ("/a", "app\" , other"),
    ] {
        assert_eq!(ask(target, host), "400", "{target} {host}");
    }
    assert!(site.service.heads().is_empty());
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_or_goes_on_in_one() {
    let site = Site::start();
    let start = "POST /first HTTP/1.1\r\nHost: app\r\nX-API-Key: KEY\r\n";
    // With a key, so that nothing but the form of the first one keeps it from the service.
    let smuggled = "GET /second HTTP/1.1\r\nHost: app\r\nX-API-Key: KEY\r\n\r\n";
    for (what, rest) in [
        (
            "two lengths",
            "Content-Length: 0\r\nContent-Length: 38\r\n\r\n",
        ),
        ("a list of lengths", "Content-Length: 0, 38\r\n\r\n"),
        ("a signed length", "Content-Length: +38\r\n\r\n"),
        ("no number", "Content-Length: 0x26\r\n\r\n"),
        (
            "two codings",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "another coding",
            "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a coding unknown",
            "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a folded line",
            "X-Folded: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a space before the colon",
            "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a space in a name",
            "Transfer Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a space before a name",
            " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("a null byte", "X-Null: a\0b\r\n\r\n"),
        (
            "a carriage return alone",
            "X-Bare: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("a second host", "Host: other\r\n\r\n"),
        ("no colon", "Nonsense\r\n\r\n"),
        ("no name", ": value\r\n\r\n"),
    ] {
        let (status, answer) = send(&site, format!("{start}{rest}{smuggled}").as_bytes());
        assert_eq!(status, "400", "{what}: {answer}");
        assert!(site.service.heads().is_empty(), "{what}");
    }

    // One length, said twice, goes on once.
    let twice = "Content-Length: 4\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
    let (status, answer) = send(&site, format!("{start}{twice}").as_bytes());
    assert_eq!(status, "200", "{answer}");
    assert_eq!(header(&site.service.head(), "content-length"), Some("4"));

    // One that has to be read as chunked, and as the last on its connection (RFC 9112 section 6.1); the
    // length, by which the second one is a part of the first, does not go on.
    for length in ["5", "200"] {
        let both = format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n");
        let body = format!("0\r\n\r\n{smuggled}");
        let (status, answer) = send(&site, format!("{start}{both}\r\n{body}").as_bytes());
        assert_eq!(status, "200", "{answer}");
        let head = site.service.head();
        assert!(head.starts_with("POST /first "), "{head}");
        assert_eq!(header(&head, "content-length"), None);
        assert!(site.service.heads().is_empty(), "{length}");
    }
}

#[test]
fn bytes_of_lines_and_heads_that_are_out_of_place_are_refused() {
    let site = Site::start();
    for head in [
        &b"GET /a b HTTP/1.1\r\nHost: app\r\nX-API-Key: KEY\r\n\r\n"[..],
        b"GET /a\0b HTTP/1.1\r\nHost: app\r\nX-API-Key: KEY\r\n\r\n",
        b"GET /a\rb HTTP/1.1\r\nHost: app\r\nX-API-Key: KEY\r\n\r\n",
        b"GET\t/a HTTP/1.1\r\nHost: app\r\nX-API-Key: KEY\r\n\r\n",
        b"GET /a HTTP/1.1\r\nX-API-Key: KEY\r\n\r\n",
        b"GET /a HTTP/2.0\r\nHost: app\r\nX-API-Key: KEY\r\n\r\n",
        b"G@T /a HTTP/1.1\r\nHost: app\r\nX-API-Key: KEY\r\n\r\n",
    ] {
        let (status, answer) = send(&site, head);
        assert_eq!(status, "400", "{}: {answer}", String::from_utf8_lossy(head));
    }
    for (line, status) in [
        ("CONNECT app:80 HTTP/1.1", "405"),
        ("TRACE /a HTTP/1.1", "405"),
    ] {
        let head = format!("{line}\r\nHost: app:80\r\nX-API-Key: KEY\r\n\r\n");
        let (told, answer) = send(&site, head.as_bytes());
        assert_eq!(told, status, "{answer}");
        assert!(
            answer.to_ascii_lowercase().contains("\r\nallow: get, "),
            "{answer}"
        );
    }
    assert!(site.service.heads().is_empty());
}
