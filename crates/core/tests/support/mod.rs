//! An authority over a real store in a temporary folder, with a clock that the test moves.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod gate;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sealgate_core::audit::Origin;
use sealgate_core::authority::{
    Authority, Caller, Created, Credential, Identity, LoggedIn, Login, PasswordSettings, Refused,
    Settings,
};
use sealgate_core::clock::{ManualClock, Timestamp};
use sealgate_core::error::{Denied, Error, Reason};
use sealgate_core::master::MasterKey;
use sealgate_core::password::HashingCost;
use sealgate_core::random::SeededRandom;
use sealgate_core::request::KeyRequest;
use sealgate_core::secret::{Secret, SecretText};
use sealgate_core::store::Store;
use sealgate_core::user::UserRecord;
use sealgate_store::{Sqlite, SqliteOptions};

pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// One store, and as many processes on it as a test opens.
pub struct Site {
    pub clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl Site {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self {
            clock: Arc::new(ManualClock::at(START)),
            folder,
        }
    }

    pub async fn store(&self) -> Arc<dyn Store> {
        let options = SqliteOptions {
            path: self.folder.path().join("test.db"),
            create: true,
        };
        // Each process draws other random bytes.
        let seed = u64::from(std::process::id()) << 32 | NEXT_SEED.fetch_add(1, SeqCst);
        let random = Arc::new(SeededRandom::new(seed));
        let master = master();
        // In a box: it is many times as large as all futures around it.
        let opening = Box::pin(Sqlite::open(options, &master, random, self.clock.clone()));
        Arc::new(opening.await.expect("opens"))
    }

    /// A process that serves requests.
    pub async fn server(&self) -> Authority {
        self.server_with(self.store().await, Settings::default())
            .await
    }

    pub async fn server_with(&self, store: Arc<dyn Store>, settings: Settings) -> Authority {
        let authority = self.authority(store, settings);
        authority.start().await.expect("starts");
        authority.load_keys().await.expect("loads");
        authority
    }

    /// A process that does not: the command line.
    pub async fn command_line(&self) -> Authority {
        self.authority(self.store().await, Settings::default())
    }

    pub async fn command_line_with(&self, settings: Settings) -> Authority {
        self.authority(self.store().await, settings)
    }

    pub fn authority(&self, store: Arc<dyn Store>, settings: Settings) -> Authority {
        let random = Arc::new(SeededRandom::new(NEXT_SEED.fetch_add(1, SeqCst)));
        Authority::new(store, self.clock.clone(), random, &master(), settings)
    }
}

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
static NEXT_SEED: AtomicU64 = AtomicU64::new(1);

pub fn master() -> MasterKey {
    MasterKey::new(Secret::new([7; 32]))
}

pub fn operator() -> Caller {
    Caller::command_line("tester")
}

pub fn request(name: &str) -> KeyRequest {
    KeyRequest {
        name: name.to_owned(),
        permissions: Some("api:read api:write".to_owned()),
        ..KeyRequest::default()
    }
}

pub async fn create(authority: &Authority, name: &str) -> Created {
    authority
        .create(request(name), &operator())
        .await
        .expect("a key")
}

pub async fn present(authority: &Authority, created: &Created) -> Result<Identity, Error> {
    authority
        .authenticate(Credential::Key(created.api_key.expose()), HERE)
        .await
}

pub async fn bear(authority: &Authority, token: &str) -> Result<Identity, Error> {
    authority
        .authenticate(Credential::Bearer(token), HERE)
        .await
}

/// Settings under which a password is hashed in no time.
pub fn quick() -> Settings {
    let cost = HashingCost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    Settings {
        passwords: PasswordSettings {
            cost,
            ..PasswordSettings::default()
        },
        ..Settings::default()
    }
}

pub const PASSWORD: &str = "correct horse battery staple";

pub async fn add_user(authority: &Authority, name: &str) -> UserRecord {
    let request = serde_json::json!({
        "username": name,
        "password": PASSWORD,
        "display_name": "Ada Lovelace",
        "roles": ["student"],
    });
    let request = serde_json::from_value(request).expect("well-formed");
    authority
        .create_user(request, &operator())
        .await
        .expect("a user")
}

pub async fn log_in(
    authority: &Authority,
    (username, password): (&str, &str),
    seal_key: Option<&str>,
    address: IpAddr,
) -> Result<LoggedIn, Error> {
    let origin = Origin {
        address: Some(address),
        ..Origin::default()
    };
    let login = Login {
        username,
        password: SecretText::new(password.to_owned()),
        seal_key,
        address,
        origin: &origin,
    };
    authority.login(login).await
}

/// The reason of a refusal; anything else fails the test.
#[track_caller]
pub fn reason<T: std::fmt::Debug>(result: Result<T, Error>) -> Reason {
    match result {
        Err(Error::Denied(denied)) => denied.reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// Puts a refusal on its way to the log.
pub fn refuse(server: &Authority, denied: &Denied, origin: &Origin, status: u16) {
    let request = Refused {
        address: origin.address,
        path: origin.path.as_deref(),
        user_agent: origin.user_agent.as_deref().map(str::as_bytes),
        status,
    };
    server.refused(denied, &request, || origin.clone());
}
