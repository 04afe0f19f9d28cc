//! What the unit tests of the modules around it start from: a new store in a directory of its own.

use std::path::PathBuf;
use std::sync::Arc;

use sealgate_core::audit::{Chain, Walk};
use sealgate_core::clock::{ManualClock, Timestamp};
use sealgate_core::key::{Environment, KeyHash, KeyId, KeyPrefix, KeyRecord, KeyState, Salt};
use sealgate_core::master::MasterKey;
use sealgate_core::network::AllowList;
use sealgate_core::permission::Permissions;
use sealgate_core::random::SystemRandom;
use sealgate_core::secret::Secret;
use sealgate_core::store::Store as _;
use sqlx::sqlite::SqliteConnection;
use tempfile::TempDir;
use uuid::Uuid;

use super::schema::Keeper;
use super::writer::Pen;
use super::{Sqlite, SqliteOptions, connect};

/// A directory with a store in it.
pub struct Fixture(TempDir);

impl Fixture {
    pub async fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        fixture.open().await;
        fixture
    }

    pub async fn open(&self) -> Sqlite {
        let options = SqliteOptions {
            path: self.file(),
            create: true,
        };
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(0)));
        Sqlite::open(options, &master(), Arc::new(SystemRandom), clock)
            .await
            .unwrap()
    }

    /// A connection as the writer's.
    pub async fn connect(&self) -> SqliteConnection {
        connect::writer(&self.file()).await.unwrap()
    }

    /// A writer without its task.
    pub async fn pen(&self) -> Pen {
        let mut connection = self.connect().await;
        let (master, chain) = (&master(), chain());
        let now = Timestamp::from_seconds(0);
        let keeper = Keeper {
            master,
            chain: &chain,
            random: Arc::new(SystemRandom),
            now,
        };
        let cipher = Arc::new(keeper.open(&mut connection).await.unwrap());
        Pen::new(connection, cipher, chain)
    }

    /// Walks the log, which must have so many records.
    pub async fn assert_whole_log(&self, store: &Sqlite, records: u64) {
        let chain = chain();
        let mut walk = Walk::new(&chain);
        let log = store.audit_after(0, 10_000).await.unwrap();
        for record in &log {
            walk.step(record).unwrap();
        }
        walk.finish(&store.audit_head().await.unwrap().unwrap())
            .unwrap();
        assert_eq!(walk.sequence(), records);
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("sealgate.db")
    }
}

fn master() -> MasterKey {
    MasterKey::new(Secret::new([1; 32]))
}

fn chain() -> Chain {
    Chain::new(&master().audit_key())
}

/// A key that its number tells apart.
pub fn key(number: u32) -> KeyRecord {
    let id = KeyId(Uuid::from_u128(u128::from(number) + 1));
    KeyRecord {
        id,
        prefix: KeyPrefix::parse("abcdefgh").unwrap(),
        salt: Salt([1; 16]),
        hash: KeyHash::new([2; 32]),
        token_secret: Secret::new([3; 32]),
        name: format!("Key {number}"),
        description: String::new(),
        permissions: Permissions::parse("api:read").unwrap(),
        is_admin: false,
        environment: Environment::Production,
        rate_limit: None,
        allowed_ips: AllowList::default(),
        state: KeyState::Active,
        created_at: Timestamp::from_seconds(i64::from(number)),
        expires_at: None,
        rotated_from: None,
        lineage: id,
        last_used_at: None,
        use_count: 0,
        version: 1,
    }
}
