//! What is in a copy of a store, proved with the master key.

use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::command::Context;
use crate::data_dir::{DataDir, Database};
use crate::exit::{Failure, Outcome};
use crate::output::{Output, Progress, count, print_line, thousands};
use crate::wiring::{self, Missing};

/// What is in it.
#[derive(Debug, Serialize)]
pub struct Contents {
    schema: u32,
    keys: u64,
    users: u64,
    audit_records: u64,
    /// The last record's place and hash, fit for `sealgate logs --verify --expect`.
    last: String,
}

/// Opens a copy with the master key, brings it to the newest schema, and walks its audit log.
///
/// # Errors
/// If it does not open, or its log is not whole.
pub async fn prove(context: &Context, copy: &Path) -> Outcome<Contents> {
    let place = DataDir {
        path: context.place.path.clone(),
        database: Database::Sqlite(copy.to_owned()),
    };
    let opened = wiring::open(&place, &context.settings, Missing::Refuse).await?;
    let authority = opened.authority;
    let walked = async {
        let health = authority.store().health().await?;
        let total = Some(health.audit_records);
        let mut progress = Progress::new(&context.output, "records", total);
        let walked = authority
            .verify_logs(|place| progress.show(place, place))
            .await?;
        Outcome::Ok((health, walked))
    };
    let walked = walked.await;
    authority.store().close().await;
    let (health, walked) = walked?;
    let verified =
        walked.map_err(|bad| Failure::new(format!("the audit log in it is not whole: {bad}")))?;
    Ok(Contents {
        schema: health.schema,
        keys: health.keys,
        users: health.users,
        audit_records: verified.records,
        last: format!("{}:{}", verified.records, verified.hash),
    })
}

impl Contents {
    /// Prints what is in a file, or says it where standard output is the file.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn print(&self, output: &Output, file: Option<&Path>, all: &impl Serialize) -> Outcome {
        let Some(file) = file else {
            if output.json {
                let told = serde_json::to_string(all).map_err(std::io::Error::from)?;
                let _ = writeln!(std::io::stderr(), "{told}");
            }
            output.note(self.told());
            return Ok(());
        };
        if output.json {
            return Ok(output.json(all)?);
        }
        if output.quiet {
            return Ok(print_line(&self.last)?);
        }
        Ok(print_line(format!("{}: {}", file.display(), self.told()))?)
    }

    fn told(&self) -> String {
        let keys = count(self.keys, "key", "keys");
        let users = count(self.users, "user", "users");
        let records = thousands(self.audit_records);
        let (_, hash) = self.last.split_once(':').unwrap_or_default();
        format!("{keys}, {users}, audit log of {records} whole, last hash {hash}")
    }
}
