//! A backup as it is read back: plain, or decrypted on the way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Identity, IdentityFile, scrypt};

use crate::exit::{Failure, Outcome};
use crate::password_prompt;

/// How an encrypted backup begins (<https://c2sp.org/age>).
const SEALED: &[u8] = b"age-encryption.org/v1\n";
/// How a database begins (<https://www.sqlite.org/fileformat.html>, section 1.3).
const PLAIN: &[u8] = b"SQLite format 3\0";

/// The most work that a file may ask for: 1 GiB of memory, four times what a backup of ours takes.
const MAX_WORK: u8 = 20;

/// What a backup is opened with.
#[derive(clap::Args, Debug)]
pub struct Open {
    /// Open it with an identity in this file, as `age-keygen` makes it
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    identity_file: Option<PathBuf>,

    /// Open it with the passphrase in the first line of a file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// A backup that is about to be read.
pub struct Input {
    bytes: Box<dyn BufRead>,
    /// Bytes in all, if known.
    pub size: Option<u64>,
    is_stdin: bool,
    is_sealed: bool,
}

impl Input {
    /// Opens the file, and looks whether it is a backup.
    ///
    /// # Errors
    /// If it cannot be read, or is no backup.
    pub fn open(path: &Path) -> Outcome<Self> {
        let is_stdin = path == Path::new("-");
        let (mut file, size): (Box<dyn Read>, _) = if is_stdin {
            if io::stdin().is_terminal() {
                return Err(Failure::usage("there is no backup on a terminal"));
            }
            (Box::new(io::stdin()), None)
        } else {
            let complain =
                |error| Failure::new(format!("{} cannot be read: {error}", path.display()));
            let file = File::open(path).map_err(complain)?;
            let size = file.metadata().map_err(complain)?;
            let size = Some(size.len()).filter(|_| size.is_file());
            (Box::new(file), size)
        };
        let mut start = Vec::with_capacity(SEALED.len());
        file.by_ref()
            .take(SEALED.len() as u64)
            .read_to_end(&mut start)?;
        let is_sealed = start == SEALED;
        if !is_sealed && !start.starts_with(PLAIN) {
            return Err(Failure::new(format!("{} is no backup", path.display())));
        }
        Ok(Self {
            bytes: Box::new(BufReader::new(Cursor::new(start).chain(file))),
            size,
            is_stdin,
            is_sealed,
        })
    }

    /// What is in it, decrypted if it has to be.
    ///
    /// # Errors
    /// If it does not open with what was given.
    pub async fn reader(self, open: &Open) -> Outcome<Box<dyn Read>> {
        if !self.is_sealed {
            return match open {
                Open {
                    identity_file: None,
                    passphrase_file: None,
                } => Ok(Box::new(self.bytes)),
                _ => Err(Failure::usage("the backup is not encrypted")
                    .with_hint("if that is as it should be, name neither identity nor passphrase")),
            };
        }
        let decryptor = Decryptor::new_buffered(self.bytes).map_err(|error| refusal(&error))?;
        if decryptor.is_scrypt() {
            let identity = open.passphrase(self.is_stdin).await?;
            let identities = std::iter::once(&identity as &dyn Identity);
            let reader = decryptor.decrypt(identities).map_err(|error| match error {
                DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
                    Failure::new("the passphrase is not that of this backup")
                }
                error => refusal(&error),
            })?;
            return Ok(Box::new(reader));
        }
        let identities = open.identities()?;
        let identities = identities
            .iter()
            .map(|identity| &**identity as &dyn Identity);
        let reader = decryptor.decrypt(identities).map_err(|error| match error {
            DecryptError::NoMatchingKeys => {
                Failure::new("none of the identities is that of a recipient of this backup")
            }
            error => refusal(&error),
        })?;
        Ok(Box::new(reader))
    }
}

impl Open {
    async fn passphrase(&self, is_stdin_taken: bool) -> Outcome<scrypt::Identity> {
        let passphrase = match &self.passphrase_file {
            Some(path) => password_prompt::first_line(path)?,
            None if self.identity_file.is_some() => {
                return Err(Failure::usage(
                    "the backup is encrypted to a passphrase, not to a recipient",
                )
                .with_hint("--passphrase-file names the file that it is in"));
            }
            None if !is_stdin_taken && io::stdin().is_terminal() => {
                password_prompt::ask_once("Passphrase of the backup: ").await?
            }
            None => {
                return Err(
                    Failure::usage("there is no terminal to ask for the passphrase on")
                        .with_hint("--passphrase-file names the file that it is in"),
                );
            }
        };
        let passphrase = SecretString::from(passphrase.expose().to_owned());
        let mut identity = scrypt::Identity::new(passphrase);
        identity.set_max_work_factor(MAX_WORK);
        Ok(identity)
    }

    fn identities(&self) -> Outcome<Vec<Box<dyn Identity + Send + Sync>>> {
        let Some(path) = &self.identity_file else {
            return Err(Failure::usage(
                "the backup is encrypted to recipients, not to a passphrase",
            )
            .with_hint("--identity-file names the file with the identity of one of them"));
        };
        let shown = path.display();
        let file = File::open(path)
            .map_err(|error| Failure::new(format!("{shown} cannot be read: {error}")))?;
        let found = IdentityFile::from_buffer(BufReader::new(file))
            .map_err(|error| Failure::new(format!("{shown}: {error}")))?;
        found.into_identities().map_err(|error| refusal(&error))
    }
}

fn refusal(error: &DecryptError) -> Failure {
    Failure::new(match error {
        DecryptError::Io(error) => return unreadable(error),
        DecryptError::InvalidHeader | DecryptError::InvalidMac => {
            "the backup is damaged: its beginning is not what was written".to_owned()
        }
        DecryptError::ExcessiveWork { .. } => {
            "the backup asks for more work with its passphrase than any of ours does".to_owned()
        }
        DecryptError::UnknownFormat => {
            "the backup is of a format that this version does not know".to_owned()
        }
        other => format!("the backup cannot be opened: {other}"),
    })
}

/// The failure of a read: of the file, or of what decrypts it.
pub fn unreadable(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
            Failure::new("the backup is damaged: it was altered, or its end is missing")
        }
        _ => Failure::new(format!("it could not be read to its end: {error}")),
    }
}
