//! A login over HTTP, against a server on this machine.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod server;

use std::path::PathBuf;
use std::time::Duration;

use sealgate_core::identity::{IdentityProvider as _, NotIdentified};
use sealgate_core::secret::SecretText;
use sealgate_identity::{Format, HttpOptions, HttpUpstream};
use serde_json::{Value, json};

use server::{Server, answer, certificate};

const PASSWORD: &str = "correct horse & \"battery\" ä";

#[tokio::test]
async fn a_login_by_json_tells_who_the_user_is() {
    let body = r#"{"matric":"1912345","username":"Ada"}"#;
    let server = Server::answering(answer("200 OK", "", body)).await;
    let upstream = upstream(&server);
    assert_eq!(
        identify(&upstream).await.unwrap(),
        json!({"matric": "1912345", "username": "Ada"})
    );

    let [request] = &server.requests()[..] else {
        panic!("{:?}", server.requests());
    };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /login?key=k HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(!head.contains("horse"), "{head}");
    let sent: Value = serde_json::from_str(body).unwrap();
    assert_eq!(sent, json!({"user": "ada", "pass": PASSWORD}));
}

#[tokio::test]
async fn a_login_by_form_gives_the_portals_cookies() {
    let cookies = "Set-Cookie: visit=1; Path=/\r\nSet-Cookie: MOD_AUTH_CAS=ST-1; Secure\r\n\
                   Set-Cookie: old=; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                   Location: http://127.0.0.1:1/elsewhere\r\n";
    let server = Server::answering(answer("302 Found", cookies, "<p>Moved")).await;
    let upstream = upstream_with(HttpOptions {
        format: Format::Form,
        success: Some(vec![302]),
        success_cookie: Some("MOD_AUTH_CAS".to_owned()),
        ..options(&server)
    });
    assert_eq!(
        identify(&upstream).await.unwrap(),
        json!({"cookies": {"visit": "1", "MOD_AUTH_CAS": "ST-1"}, "username": "ada"})
    );
    let request = &server.requests()[0];
    let form = "user=ada&pass=correct+horse+%26+%22battery%22+%C3%A4";
    assert!(request.ends_with(form), "{request}");
    assert!(request.contains("content-type: application/x-www-form-urlencoded"));
}

#[tokio::test]
async fn a_portal_that_answers_every_password_alike_lets_nobody_in() {
    let page = answer(
        "200 OK",
        "Set-Cookie: visit=1\r\n",
        "<h1>Wrong password</h1>",
    );
    let server = Server::answering(page).await;
    let text = unavailable(&upstream(&server)).await;
    assert!(text.contains("success_cookie"), "{text}");
    let upstream = upstream_with(HttpOptions {
        success_cookie: Some("MOD_AUTH_CAS".to_owned()),
        ..options(&server)
    });
    assert_eq!(identify(&upstream).await, Err(NotIdentified::Refused));
}

#[tokio::test]
async fn a_refusal_is_a_refusal() {
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
    ] {
        let server = Server::answering(answer(status, "", r#"{"username":"ada"}"#)).await;
        assert_eq!(
            identify(&upstream(&server)).await,
            Err(NotIdentified::Refused),
            "{status}"
        );
    }
}

#[tokio::test]
async fn anything_else_is_a_login_that_cannot_be_used() {
    for (status, headers) in [
        ("302 Found", "Location: /elsewhere\r\nSet-Cookie: a=b\r\n"),
        ("429 Too Many Requests", "Retry-After: 1\r\n"),
        ("500 Internal Server Error", ""),
    ] {
        let server = Server::answering(answer(status, headers, "{}")).await;
        let text = unavailable(&upstream(&server)).await;
        assert!(text.contains(&status[..3]), "{text}");
        assert_eq!(
            server.requests().len(),
            1,
            "nothing is followed or repeated"
        );
    }
}

#[tokio::test]
async fn what_is_not_http_is_told() {
    let server = Server::answering("220 mail.example ESMTP\r\n").await;
    assert!(!unavailable(&upstream(&server)).await.is_empty());
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    let server = Server::answering(format!("{head}\"{}", "a".repeat(200_000))).await;
    let text = unavailable(&upstream(&server)).await;
    assert!(text.contains("longer than 65536 bytes"), "{text}");

    let cookies = "Set-Cookie: a=b\r\n".repeat(10_000);
    let server = Server::answering(answer("200 OK", &cookies, "{}")).await;
    assert!(!unavailable(&upstream(&server)).await.is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_no_more_than_the_timeout() {
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"] {
        let server = Server::answering(begun).await;
        let upstream = upstream_with(HttpOptions {
            timeout: Duration::from_millis(200),
            ..options(&server)
        });
        let text = unavailable(&upstream).await;
        assert!(text.contains("no answer within 200ms"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_told() {
    let server = Server::answering("").await;
    let upstream = upstream(&server);
    drop(server);
    let text = unavailable(&upstream).await;
    assert!(text.to_lowercase().contains("connect"), "{text}");
}

#[tokio::test]
async fn logins_share_a_connection() {
    let server = Server::answering(answer("200 OK", "", "{}")).await;
    let upstream = upstream(&server);
    for _ in 0..5 {
        identify(&upstream).await.unwrap();
        // The connection is free again once its task has run.
        tokio::task::yield_now().await;
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 5));
}

#[tokio::test]
async fn tls_is_spoken_with_who_the_file_vouches_for() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (certified, ca_file) = certificate(folder.path());
    let server = Server::with_tls(&answer("200 OK", "", "{}"), &certified).await;
    let tls = |ca_file: Option<PathBuf>| {
        upstream_with(HttpOptions {
            url: format!("https://127.0.0.1:{}/login", server.port),
            ca_file,
            ..options(&server)
        })
    };

    assert!(identify(&tls(Some(ca_file))).await.is_ok());
    let (_, stranger) = certificate(other.path());
    let text = unavailable(&tls(Some(stranger))).await;
    assert!(text.contains("certificate"), "{text}");
    let text = unavailable(&tls(None)).await;
    assert!(text.contains("certificate"), "{text}");
    assert_eq!(server.requests().len(), 1, "no password without trust");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (certified, ca_file) = certificate(folder.path());
    let server = Server::with_tls(&answer("200 OK", "", "{}"), &certified).await;
    let upstream = upstream_with(HttpOptions {
        url: format!("https://localhost:{}/login", server.port),
        ca_file: Some(ca_file),
        ..options(&server)
    });
    let text = unavailable(&upstream).await;
    assert!(text.contains("certificate"), "{text}");
}

fn options(server: &Server) -> HttpOptions {
    HttpOptions {
        url: format!("http://127.0.0.1:{}/login?key=k", server.port),
        format: Format::Json,
        username_field: "user".to_owned(),
        password_field: "pass".to_owned(),
        success: None,
        success_cookie: None,
        timeout: Duration::from_secs(10),
        ca_file: None,
    }
}

fn upstream(server: &Server) -> HttpUpstream {
    upstream_with(options(server))
}

fn upstream_with(options: HttpOptions) -> HttpUpstream {
    HttpUpstream::new(options).unwrap()
}

async fn identify(upstream: &HttpUpstream) -> Result<Value, NotIdentified> {
    let password = SecretText::new(PASSWORD.to_owned());
    let data = upstream.identify("ada", &password).await?;
    Ok(Value::Object(data.0))
}

/// Why the login cannot be used; it never has the password in it.
async fn unavailable(upstream: &HttpUpstream) -> String {
    match identify(upstream).await {
        Err(NotIdentified::Unavailable(text)) => {
            assert!(!text.contains("horse"), "{text}");
            text
        }
        other => panic!("{other:?}"),
    }
}
