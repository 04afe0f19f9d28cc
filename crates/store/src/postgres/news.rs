//! What wakes whoever follows the change feed before it would look again by itself. Nothing depends on
//! it: a notification that is lost, or a database that has none, costs the time until then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::connect::PostgresOptions;
use super::error::Fault;

/// The channel that [`NOTIFY`](super::writer) names.
const CHANNEL: &str = "sealgate_feed";
/// After how long without a word it is asked whether the connection is still there.
const SILENCE: Duration = Duration::from_mins(1);
/// How long that may take.
const ANSWER: Duration = Duration::from_secs(10);
/// After how long a connection that failed is tried again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// The connection that listens, from when it is first asked for.
pub struct News {
    options: PostgresOptions,
    heard: Arc<Notify>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl News {
    pub fn of(options: PostgresOptions) -> Self {
        Self {
            options,
            heard: Arc::default(),
            listener: Mutex::default(),
        }
    }

    /// Waits until something may have changed.
    pub async fn wait(&self) {
        self.listener()
            .get_or_insert_with(|| tokio::spawn(listen(self.options.clone(), self.heard.clone())));
        self.heard.notified().await;
    }

    pub fn close(&self) {
        if let Some(listener) = self.listener().take() {
            listener.abort();
        }
    }

    fn listener(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.close();
    }
}

/// Listens on each server in turn, for as long as it answers.
async fn listen(options: PostgresOptions, heard: Arc<Notify>) {
    let (mut pause, mut is_known) = (FIRST_PAUSE, false);
    loop {
        for server in options.servers() {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(ANSWER)
                .connect_lazy_with(server.clone());
            let outcome = match PgListener::connect_with(&pool).await {
                Ok(listener) => {
                    let outcome = follow(listener, &heard, &mut pause).await;
                    pool.close().await;
                    outcome
                }
                Err(error) => Err(error),
            };
            if let Err(error) = outcome
                && !is_known
            {
                is_known = true;
                let failure = Fault::from(error).into_failure().0;
                tracing::info!(%failure, "no notifications from the database; the change feed is polled");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn follow(
    mut listener: PgListener,
    heard: &Notify,
    pause: &mut Duration,
) -> Result<(), sqlx::Error> {
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    *pause = FIRST_PAUSE;
    // What came before this is not told.
    heard.notify_one();
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(_))) => heard.notify_one(),
            // The connection is gone.
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let asked = sqlx::query("SELECT 1").execute(&mut listener);
                let Ok(answer) = timeout(ANSWER, asked).await else {
                    return Ok(());
                };
                answer?;
            }
        }
    }
}
