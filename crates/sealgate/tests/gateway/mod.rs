//! `sealgate serve --protect`: what a service behind the gateway gets, and what clients get of it.

mod faults;
mod headers;
mod http2;
mod passing;
mod policy;
mod secured;
mod service;
mod smuggling;
mod websocket;

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use self::service::{Connection, Service};
use crate::support::{Home, Key, Request, Server};

/// Sealgate in front of a service.
struct Site {
    home: Home,
    server: Server,
    service: Service,
    /// A key that may do everything a service can ask for.
    key: Key,
}

impl Site {
    fn start() -> Self {
        Self::of(Service::echo())
    }

    fn of(service: Service) -> Self {
        Self::with(service, |_| ())
    }

    /// With more settings, as variables.
    fn with(service: Service, adjust: impl FnOnce(&mut Command)) -> Self {
        Self::at(Home::new(), service, adjust)
    }

    /// With a settings file.
    fn ruled(service: Service, settings: &str) -> Self {
        let home = Home::new();
        home.write("sealgate.toml", settings);
        Self::at(home, service, |_| ())
    }

    fn at(home: Home, service: Service, adjust: impl FnOnce(&mut Command)) -> Self {
        let key = home.create_key(&["--name", "client", "--permissions", "api:read api:write"]);
        let url = service.url();
        let server = Server::start_with(&home, |command| {
            command.args(["--protect", &url]);
            adjust(command);
        });
        Self {
            home,
            server,
            service,
            key,
        }
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A request with the key.
    fn request(&self, method: &str, path: &str) -> Request {
        let request = self.server.request(method, path);
        request.api_key(&self.key.api_key)
    }

    /// A connection of a client's.
    fn connect(&self) -> Connection {
        Connection::new(TcpStream::connect(self.address()).expect("a connection"))
    }

    /// A connection on which the head of a request was sent: its first line and further ones, each with
    /// a line's end. The key is added.
    fn open(&self, line: &str, headers: &str) -> Connection {
        let mut connection = self.connect();
        let key = &self.key.api_key;
        let head = format!("{line}\r\nHost: app\r\nX-API-Key: {key}\r\n{headers}\r\n");
        assert!(connection.write(head.as_bytes()));
        connection
    }
}
