//! Limits of requests on a server that speaks the protocol of Redis, which counts each request: a script
//! there applies the rule of [`Used::hand_out`], by the server's clock. What is whole again, it forgets.
//!
//! [`Used::hand_out`]: sealgate_core::rate::Used::hand_out

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, Pipeline, RedisError};
use sealgate_core::rate::Handed;
use sealgate_core::shared_limits::{Ask, KeeperGone, LimitKeeper};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long requests wait for an answer, before their limits are decided without it.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long they wait for a connection, which is made seldom, and with TLS takes longer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

const HAND_OUT: &str = include_str!("hand_out.lua");

/// Keeps limits on a server of Redis.
pub struct Redis {
    client: Client,
    /// The connection, as long as it is good.
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// The text is no URL of a server.
#[derive(Debug, thiserror::Error)]
#[error(
    "the URL is not of the form redis://user:password@host:port/number, or rediss:// with TLS; what is \
     special in a password is percent-encoded"
)]
pub struct NotARedisUrl;

impl Redis {
    /// A server by its URL, `redis://user:password@host:port/number`, or `rediss://` for TLS. It is not
    /// asked yet.
    ///
    /// # Errors
    /// If it is no such URL. The message shows nothing of it, since a password may be anywhere in it.
    pub fn new(url: &str) -> Result<Self, NotARedisUrl> {
        // Without certificates that are not checked, and without sockets, which have no host to show.
        if url.contains('#') || !(url.starts_with("redis://") || url.starts_with("rediss://")) {
            return Err(NotARedisUrl);
        }
        let client = Client::open(url).map_err(|_| NotARedisUrl)?;
        Ok(Self {
            client,
            connection: Mutex::default(),
        })
    }

    /// Whether nobody between here and the server can read what is sent, or take its place.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, _) => {
                let address = host.parse::<IpAddr>();
                host == "localhost" || address.is_ok_and(|address| address.is_loopback())
            }
            _ => true,
        }
    }

    async fn ask(&self, questions: &Pipeline) -> Result<Vec<Vec<i64>>, KeeperGone> {
        let mut held = self.connection.lock().await;
        loop {
            // Out of its place while it is in use: one that is given up in the middle is closed.
            let waiting = held.take();
            let was_idle = waiting.is_some();
            let mut connection = match waiting {
                Some(connection) => connection,
                None => self.connect().await.map_err(|error| gone(&error))?,
            };
            let answered = timeout(PATIENCE, questions.query_async(&mut connection)).await;
            match answered.map_err(|_| late())? {
                Ok(answers) => {
                    *held = Some(connection);
                    return Ok(answers);
                }
                // The server was restarted, perhaps, since it was used last. Should it have counted and
                // not answered, this counts again: too much rather than too little.
                Err(error) if was_idle && error.is_connection_dropped() => {}
                Err(error) => return Err(gone(&error)),
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let client = &self.client;
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

#[async_trait]
impl LimitKeeper for Redis {
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Handed>, KeeperGone> {
        let mut questions = Pipeline::with_capacity(asks.len());
        for ask in asks {
            questions
                .cmd("EVAL")
                .arg(HAND_OUT)
                .arg(1)
                .arg(format!("sealgate:limit:{}", ask.lineage))
                .arg(ask.limit.requests())
                .arg(ask.limit.window_seconds())
                .arg(ask.wanted)
                .arg(ask.returned);
        }
        let answers = self.ask(&questions).await?;
        let handed = answers.iter().map(|answer| match answer.as_slice() {
            [requests, missing] => Some(Handed {
                requests: u32::try_from(*requests).ok()?,
                missing: *missing,
            }),
            _ => None,
        });
        let handed = handed.collect::<Option<Vec<_>>>();
        let handed = handed.filter(|handed| handed.len() == asks.len());
        handed.ok_or_else(|| KeeperGone("the server of limits answers something else".to_owned()))
    }

    fn hands_out_ahead(&self) -> bool {
        false
    }
}

fn late() -> KeeperGone {
    KeeperGone("the server of limits did not answer in time".to_owned())
}

/// What went wrong, without anything of the URL.
fn gone(error: &RedisError) -> KeeperGone {
    if error.is_timeout() {
        return late();
    }
    let refusals = error.clone().into_server_errors();
    let code = refusals
        .as_ref()
        .and_then(|refusals| refusals.first())
        .map(|(_, refusal)| refusal.code());
    KeeperGone(match (error.kind(), code) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => {
            "the server of limits does not let this user in: check user and password".to_owned()
        }
        (_, Some(code)) => format!("the server of limits refuses to count: {code}"),
        (ErrorKind::Io, None) => "the server of limits cannot be reached".to_owned(),
        (_, None) => format!("the server of limits fails: {}", error.category()),
    })
}

/// Where the server is; neither user nor password.
impl fmt::Display for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.client.get_connection_info().addr())
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({self})")
    }
}
