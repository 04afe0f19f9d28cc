//! The load of `bench/logins.sh`: a session that is used at an even pace, a flood of wrong logins, and
//! a crowd that asks for nothing which costs anything, as often.
//!
//!     login_flood probe ADDRESS SECONDS      a line of standard input: a session token
//!     login_flood flood ADDRESS SECONDS      a line: a user's name; another: the password
//!     login_flood crowd ADDRESS SECONDS      the same two lines
//!
//! It goes to a loopback address alone, for a minute at most, and no faster than the constants say.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::interval;

const MOST_SECONDS: u64 = 60;
/// Between two requests for the profile: 200 a second.
const PROBE_PERIOD: Duration = Duration::from_millis(5);
/// Between two wrong logins, or two of the crowd: 1,000 a second.
const FLOOD_PERIOD: Duration = Duration::from_millis(1);
/// Enough that those which wait for a hash do not hold up the others.
const FLOOD_CONNECTIONS: usize = 192;
/// Wrong logins come from so many addresses, in 10.0.0.0/8, and go to so many accounts.
const ADDRESSES: u32 = 60_000;
const ACCOUNTS: u32 = 10_000;
/// One wrong login of so many goes to the account of the user.
const USERS_SHARE: u32 = 20;
/// Where the user has logged in before.
const USERS_ADDRESS: &str = "203.0.113.9";
/// Between two logins of the user.
const USERS_PERIOD: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("login_flood: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, address, seconds] = &arguments[..] else {
        return Err("usage: login_flood probe|flood|crowd ADDRESS SECONDS".into());
    };
    let address: SocketAddr = address.parse()?;
    if !address.ip().is_loopback() {
        return Err("only a loopback address is put under load".into());
    }
    let seconds = Duration::from_secs(seconds.parse::<u64>()?.min(MOST_SECONDS));
    // On one thread, which the script keeps to one core.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match what.as_str() {
        "probe" => {
            let token = line()?;
            runtime.block_on(probe(address, seconds, &token))
        }
        "flood" | "crowd" => {
            let is_flood = what == "flood";
            let user = User {
                name: line()?,
                password: line()?,
            };
            LocalSet::new().block_on(&runtime, many(address, seconds, user, is_flood))
        }
        _ => Err("either `probe`, `flood` or `crowd`".into()),
    }
}

type Failure = Box<dyn std::error::Error>;

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
fn now() -> Instant {
    Instant::now()
}

/// Asks for the profile at an even pace; prints how long each answer took, in nanoseconds.
async fn probe(address: SocketAddr, seconds: Duration, token: &str) -> Result<(), Failure> {
    let mut connection = Connection::open(address).await?;
    let mut ticks = interval(PROBE_PERIOD);
    let (begin, mut free_since) = (now(), now());
    let mut took = Vec::new();
    while free_since - begin < seconds {
        let due = ticks.tick().await.into_std();
        // Where an answer came so late that the next request was due before it, that one has waited.
        let from = if free_since > due { due } else { now() };
        let status = connection.get("/api/profile", Some(token)).await?;
        free_since = now();
        if status != 200 {
            return Err(format!("the profile was answered with {status}").into());
        }
        took.push((free_since - from).as_nanos());
    }
    print_lines(&took)
}

/// Sends wrong logins at an even pace, or what costs nothing, and the user's own logins now and then;
/// prints what became of them.
async fn many(
    address: SocketAddr,
    seconds: Duration,
    user: User,
    is_flood: bool,
) -> Result<(), Failure> {
    let tickets = Rc::new(Semaphore::new(0));
    let statuses = Rc::new(RefCell::new(BTreeMap::<u16, u32>::new()));
    let user = Rc::new(user);
    for n in 0..FLOOD_CONNECTIONS {
        let mut connection = Connection::open(address).await?;
        let (tickets, statuses, user) = (tickets.clone(), statuses.clone(), user.clone());
        let mut random = SplitMix64(n as u64);
        tokio::task::spawn_local(async move {
            while let Ok(ticket) = tickets.acquire().await {
                ticket.forget();
                let (from, account) = random.wrong_login(&user.name);
                let status = if is_flood {
                    connection.log_in(&from, &account, "not the password").await
                } else {
                    connection.get("/healthz", None).await
                };
                // A connection that broke counts as an answer of its own.
                *statuses
                    .borrow_mut()
                    .entry(status.unwrap_or(0))
                    .or_default() += 1;
            }
        });
    }
    let begin = now();
    let users = tokio::task::spawn_local(user.log_in_again_and_again(address, begin + seconds));
    let mut ticks = interval(FLOOD_PERIOD);
    while now() - begin < seconds {
        ticks.tick().await;
        tickets.add_permits(1);
    }
    let unsent = tickets.available_permits();
    tickets.close();
    let logins = users.await??;
    let report = json!({
        "many": *statuses.borrow(),
        "unsent": unsent,
        "user_statuses": logins.iter().map(|login| login.0).collect::<Vec<_>>(),
        "user_ms": logins.iter().map(|login| login.1.as_millis()).collect::<Vec<_>>(),
    });
    print_lines(&[report])
}

fn print_lines<T: Display>(lines: &[T]) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    for line in lines {
        writeln!(output, "{line}")?;
    }
    Ok(())
}

/// Somebody who logs in with the right password, from where they always do.
struct User {
    name: String,
    password: String,
}

impl User {
    /// How each login was answered, and after how long.
    async fn log_in_again_and_again(
        self: Rc<Self>,
        address: SocketAddr,
        end: Instant,
    ) -> Result<Vec<(u16, Duration)>, hyper::Error> {
        let mut connection = Connection::open(address)
            .await
            .expect("one connection more");
        let mut ticks = interval(USERS_PERIOD);
        // The first is due at once, before the flood has begun.
        ticks.tick().await;
        let mut logins = Vec::new();
        while now() + USERS_PERIOD < end {
            ticks.tick().await;
            let begin = now();
            let status = connection
                .log_in(USERS_ADDRESS, &self.name, &self.password)
                .await?;
            logins.push((status, now() - begin));
        }
        Ok(logins)
    }
}

/// A connection that is kept.
struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(Self { address, sender })
    }

    async fn get(&mut self, path: &str, token: Option<&str>) -> Result<u16, hyper::Error> {
        let mut request = Request::get(path).header("Host", self.address.to_string());
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::default());
        self.status(request.expect("a request of valid parts"))
            .await
    }

    async fn log_in(
        &mut self,
        from: &str,
        username: &str,
        password: &str,
    ) -> Result<u16, hyper::Error> {
        let body = json!({"username": username, "password": password}).to_string();
        let request = Request::post("/api/auth/login")
            .header("Host", self.address.to_string())
            .header("Content-Type", "application/json")
            .header("X-Forwarded-For", from)
            .body(Full::from(body))
            .expect("a request of valid parts");
        self.status(request).await
    }

    /// The status of the answer, once all of it is there.
    async fn status(&mut self, request: Request<Full<Bytes>>) -> Result<u16, hyper::Error> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        response.into_body().collect().await?;
        Ok(status)
    }
}

/// Random enough for addresses and names, and the same each time.
struct SplitMix64(u64);

impl SplitMix64 {
    /// An address, and an account.
    fn wrong_login(&mut self, user: &str) -> (String, String) {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + self.below(ADDRESSES) * 251);
        let account = if self.below(USERS_SHARE) == 0 {
            user.to_owned()
        } else {
            format!("user{}", self.below(ACCOUNTS))
        };
        (address.to_string(), account)
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed >> 33) % u64::from(bound)).expect("less than the bound")
    }
}
