//! What a backup is encrypted to: a passphrase, or the recipients who may open it.

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use age::stream::StreamWriter;
use age::{Encryptor, Recipient, scrypt, x25519};
use sealgate_core::secret::SecretText;

use super::target::{Target, unwritable};
use crate::exit::{Failure, Outcome};
use crate::password_prompt;

/// Memory and time that a guess at a passphrase takes: 256 MiB and about a second, as `age` has it.
const WORK: u8 = 18;

/// Fewest characters of a passphrase. Whoever has the file guesses as long as they like.
const MIN_PASSPHRASE: usize = 12;

/// What to encrypt to.
#[derive(clap::Args, Debug)]
pub struct Seal {
    /// Encrypt to whoever has the identity of this age recipient, age1…; may be repeated
    #[arg(long, value_name = "RECIPIENT", conflicts_with_all = ["passphrase_file", "unencrypted"])]
    recipient: Vec<String>,

    /// Encrypt to the recipients in a file, one on each line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_file", "unencrypted"])]
    recipients_file: Option<PathBuf>,

    /// Encrypt to the passphrase in the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "unencrypted")]
    passphrase_file: Option<PathBuf>,

    /// Do not encrypt: names, addresses and the audit log can be read in the copy
    #[arg(long)]
    unencrypted: bool,
}

/// What is encrypted to, read and understood.
pub enum Sealing {
    /// Nothing.
    Nothing,
    /// A passphrase.
    Passphrase(SecretText),
    /// Recipients.
    Recipients(Vec<x25519::Recipient>),
}

impl Seal {
    /// Reads what to encrypt to; asks for a passphrase if nothing else is said.
    ///
    /// # Errors
    /// If a recipient is none, a passphrase is too short, or there is no terminal to ask on.
    pub async fn ready(&self) -> Outcome<Sealing> {
        if self.unencrypted {
            return Ok(Sealing::Nothing);
        }
        let mut recipients = Vec::new();
        for text in &self.recipient {
            recipients.push(recipient(text)?);
        }
        if let Some(path) = &self.recipients_file {
            recipients.extend(recipients_in(path)?);
        }
        if !recipients.is_empty() {
            return Ok(Sealing::Recipients(recipients));
        }
        let passphrase = match &self.passphrase_file {
            Some(path) => password_prompt::first_line(path)?,
            None if io::stdin().is_terminal() => {
                password_prompt::ask_twice("Passphrase of the backup: ").await?
            }
            None => {
                return Err(
                    Failure::usage("there is no terminal to ask for a passphrase on").with_hint(
                        "say what to encrypt to: --recipient, --recipients-file or \
                         --passphrase-file; --unencrypted makes a plain copy",
                    ),
                );
            }
        };
        if passphrase.expose().chars().count() < MIN_PASSPHRASE {
            return Err(Failure::new(format!(
                "the passphrase is shorter than {MIN_PASSPHRASE} characters"
            ))
            .with_hint(
                "whoever has the backup can guess as often as they like: `openssl rand -base64 24` \
                 makes a passphrase that nobody guesses",
            ));
        }
        Ok(Sealing::Passphrase(passphrase))
    }
}

fn recipient(text: &str) -> Outcome<x25519::Recipient> {
    text.trim().parse().map_err(|_| {
        Failure::usage("what was given for a recipient is not one").with_hint(
            "a recipient begins with age1 and has 62 characters, as `age-keygen` prints it",
        )
    })
}

fn recipients_in(path: &Path) -> Outcome<Vec<x25519::Recipient>> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{shown} cannot be read: {error}")))?;
    let lines = (1..).zip(text.lines());
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let found: Vec<_> = lines
        .map(|(number, line)| {
            recipient(line).map_err(|failure| failure.about(format!("{shown}, line {number}")))
        })
        .collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Err(Failure::new(format!("there is no recipient in {shown}")));
    }
    Ok(found)
}

impl Sealing {
    /// What it is called in results.
    pub const fn told(&self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Passphrase(_) => Some("passphrase"),
            Self::Recipients(_) => Some("recipients"),
        }
    }

    /// Encrypts what is written to it.
    ///
    /// # Errors
    /// If the beginning cannot be written.
    pub fn writer(&self, target: Target) -> Outcome<Writer> {
        let encryptor = match self {
            Self::Nothing => return Ok(Writer::Plain(target)),
            Self::Passphrase(passphrase) => {
                let passphrase = SecretString::from(passphrase.expose().to_owned());
                let mut recipient = scrypt::Recipient::new(passphrase);
                recipient.set_work_factor(WORK);
                Encryptor::with_recipients(std::iter::once(&recipient as &dyn Recipient))
            }
            Self::Recipients(recipients) => Encryptor::with_recipients(
                recipients
                    .iter()
                    .map(|recipient| recipient as &dyn Recipient),
            ),
        };
        let encryptor = encryptor.map_err(|error| Failure::new(error.to_string()))?;
        let writer = encryptor.wrap_output(target);
        Ok(Writer::Sealed(writer.map_err(|error| unwritable(&error))?))
    }
}

/// Writes a backup.
pub enum Writer {
    /// As it is.
    Plain(Target),
    /// Encrypted.
    Sealed(StreamWriter<Target>),
}

impl Writer {
    /// Writes the end, without which nothing opens.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> Outcome<Target> {
        match self {
            Self::Plain(target) => Ok(target),
            Self::Sealed(writer) => writer.finish().map_err(|error| unwritable(&error)),
        }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(target) => target.write(bytes),
            Self::Sealed(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(target) => target.flush(),
            Self::Sealed(writer) => writer.flush(),
        }
    }
}
