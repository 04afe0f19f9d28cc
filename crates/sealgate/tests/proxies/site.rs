//! Sealgate, a proxy that asks it, and an application behind.

use serde_json::json;

use super::application::{Application, Seen};
use super::proxy::{Proxy, Running};
use super::tap::Tap;
use crate::support::{Home, Key, Request, Response, Server};

const PASSWORD: &str = "correct horse battery staple";
/// The names of the identity's headers, in alphabetical order.
pub const IDENTITY: [&str; 5] = ["environment", "key-id", "kind", "permissions", "subject"];

/// All that runs in a test.
pub struct Site {
    pub home: Home,
    pub server: Server,
    pub application: Application,
    /// Between the proxy and Sealgate.
    pub tap: Tap,
    proxy: Running,
}

impl Site {
    /// Starts everything.
    pub fn start(proxy: &Proxy) -> Self {
        Self::start_with(proxy, "")
    }

    /// Starts everything, with settings for Sealgate.
    pub fn start_with(proxy: &Proxy, settings: &str) -> Self {
        Self::start_changed(proxy, settings, &[])
    }

    /// Starts everything, with settings for Sealgate and with changes of the proxy's files.
    pub fn start_changed(proxy: &Proxy, settings: &str, changes: &[(&'static str, &str)]) -> Self {
        let home = Home::new();
        home.write("sealgate.toml", settings);
        let server = serve(&home);
        let tap = Tap::start(server.address());
        let application = Application::start();
        let proxy = Running::start(proxy, changes, tap.address(), application.address());
        assert!(application.take().is_empty(), "{}", proxy.log());
        Self {
            home,
            server,
            application,
            tap,
            proxy,
        }
    }

    /// A request to the application.
    pub fn ask(&self, method: &str) -> Request {
        self.ask_for(method, "/orders?of=today")
    }

    /// A request for a path of the application.
    pub fn ask_for(&self, method: &str, path: &str) -> Request {
        Request::new(self.proxy.address(), method, path)
    }

    /// A managed key.
    pub fn key(&self, permissions: &str) -> Key {
        let arguments = ["--name", "client", "--permissions", permissions];
        self.home.create_key(&arguments)
    }

    /// The seal key and the session token of a user called ada, who is added and logs in.
    pub fn log_in(&self) -> (String, String) {
        let add = ["user", "add", "--username", "ada", "--password-stdin"];
        self.home.run_with_input(&add, PASSWORD).success();
        let generate = self.server.post("/api/key/generate").send().expect(200);
        let seal_key = generate.json()["api_key"].as_str().map(str::to_owned);
        let seal_key = seal_key.expect("a seal key");
        let login = self.server.post("/api/auth/login");
        let login = login.header("x-gomaluum-key", &seal_key);
        let login = login.json(&json!({"username": "ada", "password": PASSWORD}));
        let answer = login.send().expect(200).json();
        let token = answer["data"]["token"].as_str().expect("a token");
        (seal_key, token.to_owned())
    }

    /// Sends a request that has to arrive; gives what the application saw.
    #[track_caller]
    pub fn passed(&self, request: Request) -> Seen {
        request.send().expect(200);
        let mut seen = self.application.take();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.remove(0)
    }

    /// Sends a request that must not arrive; gives the answer.
    #[track_caller]
    pub fn stopped(&self, request: Request, status: u16) -> Response {
        let answer = request.send();
        let seen = self.application.take();
        assert!(seen.is_empty(), "{seen:#?}");
        answer.expect(status)
    }
}

/// Starts Sealgate as `docs/proxies.md` says.
pub fn serve(home: &Home) -> Server {
    Server::start_with(home, |command| {
        command.env("SEALGATE_TRUSTED_PROXIES", "127.0.0.1");
    })
}

/// Checks that the application saw each header of an identity once, with these values in alphabetical
/// order of the names, and no credential.
#[track_caller]
pub fn assert_identity(seen: &Seen, expected: [&str; 5]) {
    for (name, value) in IDENTITY.iter().zip(expected) {
        let name = format!("x-auth-{name}");
        let values: Vec<&str> = seen.values(&name).collect();
        assert_eq!(values, [value], "{name}: {seen:#?}");
    }
    for credential in ["x-api-key", "authorization", "x-gomaluum-key"] {
        assert_eq!(seen.values(credential).next(), None, "{seen:#?}");
    }
}
