//! SIGHUP: the settings are read again, and the routes in them count from then on.

use std::path::PathBuf;

use sealgate_core::policy::PolicyHandle;
use tokio::signal::unix::Signal;

use super::Args;
use crate::config::{self, Globals, Loaded};
use crate::exit::{Failure, Outcome};
use crate::settings::Settings;

/// What is needed to read the settings again.
pub struct Reload {
    /// The flags of the command.
    pub globals: Globals,
    /// Its own.
    pub args: Args,
    /// The settings that the server runs with.
    pub settings: Settings,
    /// The settings file that they are from, if there is one.
    pub file: Option<PathBuf>,
    /// The policy that is in force.
    pub policy: PolicyHandle,
}

impl Reload {
    /// Reads the settings again at each signal, for ever.
    pub async fn at_each(self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            self.once();
        }
    }

    fn once(&self) {
        let (result, count) = match self.read() {
            Ok(count) => ("ok", count),
            Err(failure) => {
                tracing::error!(
                    "the policy stays as it was: {}{}",
                    failure.message(),
                    failure
                        .hint()
                        .map(|hint| format!(": {hint}"))
                        .unwrap_or_default()
                );
                ("failed", 0)
            }
        };
        if result == "ok" {
            tracing::info!(rules = count, "the policy was read again");
        }
        ::metrics::counter!("sealgate_policy_reloads_total", "result" => result).increment(1);
    }

    /// Takes the routes of the settings file; gives how many there are.
    fn read(&self) -> Outcome<usize> {
        let mut globals = self.globals.clone();
        if self.file.is_some() {
            // Not another one, or none, should it be gone: that would open what it closes.
            globals.config.clone_from(&self.file);
        }
        let Loaded { mut settings, .. } = config::load(&globals)?;
        self.args.apply(&mut settings);
        settings.check().map_err(Failure::new)?;
        let restarted = Settings {
            routes: settings.routes.clone(),
            ..self.settings.clone()
        };
        if settings != restarted {
            tracing::warn!("settings other than [[routes]] have changed: they take a restart");
        }
        // What the server runs with decides, not what it would after a restart.
        let policy = restarted.policy();
        let policy = policy.map_err(|invalid| Failure::new(invalid.to_string()))?;
        let count = policy.rules().len();
        self.policy.replace(policy);
        Ok(count)
    }
}
