//! `sealgate signing-key`: the keys that sign session tokens, and the server keys that sign access tokens.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read as _};

use clap::{Subcommand, ValueEnum};
use sealgate_core::clock::Timestamp;
use sealgate_core::view::{ServerKeyView, SessionKeyView, SigningState};
use sealgate_token::paseto::{SessionKeyError, SessionSigningKey};
use serde::Serialize;
use zeroize::Zeroizing;

use super::Context;
use super::confirm::confirm;
use crate::account;
use crate::env;
use crate::exit::{Failure, Outcome};
use crate::output::{Column, Output, Style, Table, date_time, print_line, relative};
use crate::wiring::Missing;

const EXAMPLES: &str = "\
Examples:
  sealgate signing-key list
  sealgate signing-key rotate
  sealgate signing-key rotate --of tokens
  sealgate signing-key import < key.paserk

There are two kinds: the keys of session tokens, which are meant without --of, and the server keys,
which sign access tokens (EdDSA, ES256) and lists of revocations.

A new key is published first and signs later (tokens.publish_lead_seconds), so that whoever verifies
tokens on their own has it in time. What the others signed is verified until the last of it has
expired; then they are forgotten.";

const LIST: &str = "\
Examples:
  sealgate signing-key list
  sealgate signing-key list --json | jq -r '.keys[].paserk'
  sealgate signing-key list --of tokens

The public keys are served at /.well-known/paseto-keys.json too, those of access tokens at
/.well-known/jwks.json.";

const ROTATE: &str = "\
Examples:
  sealgate signing-key rotate
  sealgate signing-key rotate --of tokens
  sealgate signing-key rotate --now --force  the key has leaked: end every session
  sealgate signing-key rotate --of tokens --now --force  the server key has leaked

The new key is published within one second, and signs two hours later unless
tokens.publish_lead_seconds says otherwise. With --now it signs within one second.";

const IMPORT: &str = "\
Examples:
  sealgate signing-key import < key.paserk
  printf '%s\\n' \"$SECRET\" \"$PUBLIC\" | sealgate signing-key import
  sealgate signing-key import --from-env

Standard input has a key as PASERK, k4.secret.…, or two lines: the secret key and its public key in
hexadecimal digits.";

/// More than any key has, in bytes.
const MAX_INPUT: u64 = 4_096;

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the keys whose tokens are verified
    List(List),
    /// Make a new key, which is published now and signs later
    Rotate(Rotate),
    /// Take over a key, which signs from now on
    Import(Import),
}

/// Which keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    // Without a help text each, which would stretch that of the command over pages.
    #[default]
    Sessions,
    Tokens,
}

#[derive(clap::Args, Debug)]
#[command(after_help = LIST)]
struct List {
    /// Which keys: those of session tokens, or the server keys of access tokens
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    of: Kind,
}

#[derive(clap::Args, Debug)]
#[command(after_help = ROTATE)]
struct Rotate {
    /// Which keys: those of session tokens, or the server keys of access tokens
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    of: Kind,

    /// Verify nothing any more that the old keys signed: it ends every session, or every access token
    #[arg(long)]
    now: bool,

    /// Do not ask
    #[arg(long)]
    force: bool,
}

#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, not Markdown"
)]
#[derive(clap::Args, Debug)]
#[command(after_help = IMPORT)]
struct Import {
    /// Take the key from PASETO_SECRET_KEY and PASETO_PUBLIC_KEY, as GoMaluum has them
    #[arg(long)]
    from_env: bool,
}

/// All of them, in JSON.
#[derive(Serialize)]
struct All<K> {
    keys: Vec<K>,
}

/// One of them, in JSON.
#[derive(Serialize)]
struct One {
    key: SessionKeyView,
}

impl Args {
    /// Does it.
    ///
    /// # Errors
    /// If it cannot be done.
    pub async fn run(self, context: &Context) -> Outcome {
        match self.command {
            Command::List(List { of: Kind::Sessions }) => list(context).await,
            Command::List(List { of: Kind::Tokens }) => list_server_keys(context).await,
            Command::Rotate(args) => args.run(context).await,
            Command::Import(args) => args.run(context).await,
        }
    }
}

async fn list(context: &Context) -> Outcome {
    context
        .with_store(Missing::Refuse, async |authority| {
            authority.prepare_session_keys().await?;
            let keys = authority.session_key_views();
            if context.output.json {
                return Ok(context.output.json(&All { keys })?);
            }
            if context.output.quiet {
                return keys.iter().try_for_each(|key| Ok(print_line(&key.kid)?));
            }
            print_all(&keys, &context.output, authority.now())
        })
        .await
}

async fn list_server_keys(context: &Context) -> Outcome {
    context
        .with_store(Missing::Refuse, async |authority| {
            authority.prepare_signing().await?;
            print_server_keys(
                authority.server_key_views(),
                &context.output,
                authority.now(),
            )
        })
        .await
}

impl Rotate {
    async fn run(self, context: &Context) -> Outcome {
        match self.of {
            Kind::Sessions => self.rotate_session_keys(context).await,
            Kind::Tokens => self.rotate_server_keys(context).await,
        }
    }

    async fn rotate_server_keys(self, context: &Context) -> Outcome {
        if self.now {
            let question =
                "Forget the server keys, which ends every access token that they signed?";
            confirm(question, self.force)?;
        }
        context
            .with_store(Missing::Refuse, async |authority| {
                let keys = authority
                    .rotate_server_keys(self.now, &account::caller())
                    .await?;
                print_server_keys(keys, &context.output, authority.now())?;
                if self.now {
                    let note =
                        "\nIt signs from now on. Every token that the old keys signed is dead.";
                    context.output.note(note);
                }
                Ok(())
            })
            .await
    }

    async fn rotate_session_keys(self, context: &Context) -> Outcome {
        if self.now {
            let question = "Forget the keys that sign sessions, which ends every session?";
            confirm(question, self.force)?;
        }
        context
            .with_store(Missing::Refuse, async |authority| {
                let key = authority
                    .rotate_session_keys(self.now, &account::caller())
                    .await?;
                let what = match (self.now, key.signs_from) {
                    (true, _) => "It signs from now on. Every session is ended.".to_owned(),
                    (false, None) => "It signs from now on. Sessions go on.".to_owned(),
                    (false, Some(from)) => format!(
                        "It is published, and signs from {} on. Sessions go on.",
                        date_time(from)
                    ),
                };
                print(key, &what, &context.output)
            })
            .await
    }
}

impl Import {
    async fn run(self, context: &Context) -> Outcome {
        let key = if self.from_env {
            from_environment()?
        } else {
            from_standard_input()?
        };
        context
            .with_store(Missing::Create, async |authority| {
                let key = authority
                    .import_session_key(&key, &account::caller())
                    .await?;
                let what = "It signs from now on. Sessions go on.";
                print(key, what, &context.output)
            })
            .await
    }
}

fn from_environment() -> Outcome<SessionSigningKey> {
    let (secret, public) = (env::PASETO_SECRET_KEY, env::PASETO_PUBLIC_KEY);
    match (variable(secret)?, variable(public)?) {
        (Some(secret), Some(public)) => of_variables(&secret, &public),
        (None, Some(_)) => Err(Failure::usage(format!("{secret} is not set"))),
        (Some(_), None) => Err(Failure::usage(format!("{public} is not set"))),
        (None, None) => Err(Failure::usage(format!("{secret} and {public} are not set"))),
    }
}

fn variable(name: &str) -> Outcome<Option<Zeroizing<String>>> {
    let text = env::value(name).map(OsString::into_string).transpose();
    let text = text.map_err(|_| Failure::usage(format!("{name}: it is not UTF-8")))?;
    Ok(text.map(Zeroizing::new))
}

/// Reads a secret key and its public key; names the variable that is wrong.
fn of_variables(secret: &str, public: &str) -> Outcome<SessionSigningKey> {
    let key = SessionSigningKey::from_hex_pair(secret.trim(), public.trim());
    key.map_err(|error| {
        let (secret, public) = (env::PASETO_SECRET_KEY, env::PASETO_PUBLIC_KEY);
        let at_fault = match error {
            SessionKeyError::PublicHex | SessionKeyError::WeakPublicKey => public.to_owned(),
            SessionKeyError::Mismatch => format!("{secret} and {public}"),
            SessionKeyError::SecretHex
            | SessionKeyError::NotPaserk(_)
            | SessionKeyError::Rejected => secret.to_owned(),
        };
        Failure::usage(error.to_string()).about(at_fault)
    })
}

fn from_standard_input() -> Outcome<SessionSigningKey> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(
            Failure::usage("a signing key is not typed where it shows").with_hint(
                "put a file in its place, sealgate signing-key import < FILE, or use --from-env",
            ),
        );
    }
    let mut text = Zeroizing::new(String::with_capacity(8_192));
    stdin.lock().take(MAX_INPUT).read_to_string(&mut text)?;
    parse(&text)
}

/// Reads a PASERK, or a secret key and its public key in hexadecimal digits.
fn parse(text: &str) -> Outcome<SessionSigningKey> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let key = match words.as_slice() {
        [paserk] => SessionSigningKey::from_paserk(paserk),
        [secret, public] => SessionSigningKey::from_hex_pair(secret, public),
        [] => return Err(Failure::usage("there is nothing on standard input")),
        _ => return Err(Failure::usage("there are more than two lines of input")),
    };
    key.map_err(|error| refuse(&error))
}

fn refuse(error: &SessionKeyError) -> Failure {
    Failure::usage(error.to_string()).with_hint(
        "a key is k4.secret.…, or two lines: the secret key and its public key in hexadecimal digits",
    )
}

fn print(key: SessionKeyView, what: &str, output: &Output) -> Outcome {
    if output.json {
        return Ok(output.json(&One { key })?);
    }
    if output.quiet {
        return Ok(print_line(&key.kid)?);
    }
    print_line(output.paint(Style::Strong, &key.kid))?;
    print_line(format!("  public key  {}", key.paserk))?;
    print_line(format!("  made        {}", date_time(key.created_at)))?;
    output.note(format!("\n{what}"));
    Ok(())
}

fn print_all(keys: &[SessionKeyView], output: &Output, now: Timestamp) -> Outcome {
    let mut table = Table::new(&[
        Column::new("KEY ID"),
        Column::new("CREATED").dispensable(1),
        Column::new("VERIFIES UNTIL"),
        Column::new("PUBLIC KEY").dispensable(2),
    ]);
    for key in keys {
        let until = until(key.state, key.signs_from, key.verify_until, now);
        table.row([
            (Style::Strong, key.kid.clone()),
            (Style::Plain, relative(key.created_at, now)),
            until,
            (Style::Faint, key.paserk.clone()),
        ]);
    }
    Ok(table.print(output)?)
}

/// What a key does, and until when.
fn until(
    state: SigningState,
    signs_from: Option<Timestamp>,
    verify_until: Option<Timestamp>,
    now: Timestamp,
) -> (Style, String) {
    match (state, signs_from, verify_until) {
        (SigningState::Signing, _, None) => (Style::Good, "it signs".to_owned()),
        (SigningState::Signing, _, Some(until)) => {
            (Style::Good, format!("it signs, {}", relative(until, now)))
        }
        (SigningState::Published, Some(from), _) => {
            (Style::Plain, format!("it signs {}", relative(from, now)))
        }
        (SigningState::Published, None, _) => (Style::Plain, "it is published".to_owned()),
        (SigningState::Retired, _, until) => {
            let until = until.map_or_else(String::new, |until| relative(until, now));
            (Style::Plain, until)
        }
    }
}

fn print_server_keys(keys: Vec<ServerKeyView>, output: &Output, now: Timestamp) -> Outcome {
    if output.json {
        return Ok(output.json(&All { keys })?);
    }
    if output.quiet {
        return keys.iter().try_for_each(|key| Ok(print_line(&key.kid)?));
    }
    let mut table = Table::new(&[
        Column::new("KEY ID"),
        Column::new("ALGORITHM").dispensable(2),
        Column::new("SIGNS").dispensable(3),
        Column::new("CREATED").dispensable(1),
        Column::new("VERIFIES UNTIL"),
    ]);
    for key in keys {
        table.row([
            (Style::Strong, key.kid.clone()),
            (Style::Plain, key.algorithm.to_owned()),
            (Style::Plain, key.purpose.to_owned()),
            (Style::Plain, relative(key.created_at, now)),
            until(key.state, key.signs_from, key.verify_until, now),
        ]);
    }
    Ok(table.print(output)?)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn key() -> SessionSigningKey {
        SessionSigningKey::from_seed(&[7; 32]).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        let mut text = String::new();
        for byte in bytes {
            write!(text, "{byte:02x}").unwrap();
        }
        text
    }

    #[test]
    fn a_key_is_read_in_either_form() {
        let bytes = key().to_bytes();
        let (seed, public) = (hex(&bytes[..32]), hex(&bytes[32..]));
        for text in [
            format!("{seed}{public}\n{public}\n"),
            format!("{}\r\n{public}\r\n", seed.to_uppercase()),
        ] {
            assert_eq!(parse(&text).unwrap().kid(), key().kid());
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        let digits = hex(&key().to_bytes()[..]);
        for text in [
            String::new(),
            digits.clone(),
            format!("{digits}\n{}", "0".repeat(64)),
            format!("{digits}\n{digits}\n{digits}"),
            format!("k4.secret.{digits}"),
            "k4.public.x".to_owned(),
        ] {
            let failure = parse(&text).unwrap_err();
            assert!(
                !format!("{failure:?}").contains(&digits[..16]),
                "{failure:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_input_is_more_than_refused(text in "(k4[.]secret[.])?\\PC{0,100}") {
            let _ = parse(&text);
        }
    }
}
