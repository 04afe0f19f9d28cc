//! `sealgate create --from`: many keys, one JSON object a line in and one line out, in batches each
//! of which is made whole or not at all.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _};
use std::path::Path;

use sealgate_core::authority::{Authority, Created};
use sealgate_core::redact::redact;
use sealgate_core::request::KeyRequest;
use zeroize::Zeroizing;

use crate::account;
use crate::command::key::Made;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, Progress, thousands};

/// Keys made at once.
const BATCH: usize = 1_000;
/// Longest line, in bytes.
const MAX_LINE: u64 = 64 * 1024;

/// Makes a key for each line.
///
/// # Errors
/// Names the first line that is wrong, and says how far it got.
pub async fn create(path: &Path, authority: &Authority, output: &Output) -> Outcome {
    let mut lines = Lines::open(path)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut progress = Progress::new(output, "keys", lines.size);
    let caller = account::caller();
    let mut made = SoFar::default();
    loop {
        let batch = lines.batch().map_err(|failure| made.so_far(failure))?;
        let (numbers, requests): (Vec<u64>, Vec<KeyRequest>) = batch.into_iter().unzip();
        let Some(&last_line) = numbers.last() else {
            break;
        };
        let created = authority
            .create_many(requests, &caller)
            .await
            .map_err(|rejected| {
                let line = rejected.place.and_then(|place| numbers.get(place));
                let failure = Failure::new(rejected.to_string());
                made.so_far(match line {
                    Some(line) => failure.about(format!("line {line}")),
                    None => failure,
                })
            })?;
        made.keys += created.len() as u64;
        made.last_line = last_line;
        print(&created, authority, &mut out).map_err(|error| made.not_shown(&created, &error))?;
        progress.show(made.keys, lines.bytes_read);
    }
    progress.finish();
    output.note(format!("Made {} keys.", thousands(made.keys)));
    Ok(())
}

fn print(created: &[Created], authority: &Authority, out: &mut impl io::Write) -> io::Result<()> {
    for key in created {
        let view = authority.view(&key.record);
        serde_json::to_writer(&mut *out, &Made::new(&view, &key.api_key))?;
        out.write_all(b"\n")?;
    }
    // A batch is shown as soon as it is made: what is lost after this was never made.
    out.flush()
}

/// How far it got.
#[derive(Clone, Copy, Debug, Default)]
struct SoFar {
    keys: u64,
    last_line: u64,
}

impl SoFar {
    fn so_far(self, failure: Failure) -> Failure {
        failure.with_hint(match self {
            Self { keys: 0, .. } => "no key was made".to_owned(),
            Self { keys, last_line } => format!(
                "the {} keys up to line {last_line} were made, none after it; correct the file, \
                 and go on with line {}",
                thousands(keys),
                last_line + 1
            ),
        })
    }

    fn not_shown(self, batch: &[Created], error: &io::Error) -> Failure {
        let message = format!(
            "{} keys were made, the last {} of them could not all be shown: {error}",
            thousands(self.keys),
            batch.len()
        );
        Failure::new(message).with_hint(match batch {
            [first, .., last] => format!(
                "revoke those that are missing in the output; their ids lie between {} and {}",
                first.record.id, last.record.id
            ),
            _ => "revoke the one that is missing in the output".to_owned(),
        })
    }
}

/// The lines of a file or of standard input.
struct Lines {
    input: Box<dyn BufRead + Send>,
    /// Bytes in all, if known.
    size: Option<u64>,
    bytes_read: u64,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Outcome<Self> {
        let (input, size): (Box<dyn BufRead + Send>, _) = if path == Path::new("-") {
            (Box::new(BufReader::new(io::stdin())), None)
        } else {
            let complain =
                |error| Failure::new(format!("{} cannot be read: {error}", path.display()));
            let file = File::open(path).map_err(complain)?;
            let metadata = file.metadata().map_err(complain)?;
            let size = Some(metadata.len()).filter(|_| metadata.is_file());
            (Box::new(BufReader::new(file)), size)
        };
        Ok(Self {
            input,
            size,
            bytes_read: 0,
            number: 0,
        })
    }

    /// The next requests and their lines' numbers; none at the end.
    fn batch(&mut self) -> Outcome<Vec<(u64, KeyRequest)>> {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH
            && let Some(request) = self.next()?
        {
            batch.push((self.number, request));
        }
        Ok(batch)
    }

    /// The request on the next line that is not blank.
    fn next(&mut self) -> Outcome<Option<KeyRequest>> {
        loop {
            let mut line = Zeroizing::new(Vec::new());
            let mut bounded = (&mut self.input).take(MAX_LINE);
            let read = bounded.read_until(b'\n', &mut line)? as u64;
            self.bytes_read += read;
            self.number += 1;
            match read {
                0 => return Ok(None),
                MAX_LINE => return Err(self.complain("it is longer than 64 KiB")),
                _ if line.trim_ascii().is_empty() => {}
                _ => {
                    let parsed = serde_json::from_slice(&line);
                    return parsed.map(Some).map_err(|error| self.complain_of(&error));
                }
            }
        }
    }

    fn complain(&self, message: &str) -> Failure {
        Failure::new(format!("line {}: {message}", self.number))
    }

    fn complain_of(&self, error: &serde_json::Error) -> Failure {
        let message = error.to_string();
        // Its line is always the first: it was given no other.
        let what = message.split(" at line ").next().unwrap_or_default();
        self.complain(&format!("{}, at column {}", redact(what), error.column()))
    }
}
