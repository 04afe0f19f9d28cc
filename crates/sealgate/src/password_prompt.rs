//! A password or passphrase: asked for on a terminal, where it does not show, or the first line of
//! standard input or of a file. Never an argument: those are in the shell's history, and in `/proc` for
//! everybody.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use sealgate_core::secret::SecretText;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::exit::{Failure, Outcome};
use crate::output::shown;
use crate::stop::Stop;

/// More than any password has, in bytes.
const MAX_LINE: usize = 1_024;

/// Where a new password comes from.
#[derive(clap::Args, Debug)]
pub struct NewPassword {
    /// Take the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

impl NewPassword {
    /// Reads it.
    ///
    /// # Errors
    /// If there is nowhere to read it from, or it was typed in two ways.
    pub async fn read(&self, username: &str) -> Outcome<SecretText> {
        if self.password_stdin {
            let line = tokio::task::spawn_blocking(|| read_line(&mut io::stdin().lock()));
            let line = line.await.map_err(io::Error::other)?;
            return line?.ok_or_else(|| Failure::usage("there is nothing on standard input"));
        }
        if !io::stdin().is_terminal() {
            return Err(
                Failure::usage("there is no terminal to ask for a password on")
                    .with_hint("--password-stdin takes it from the first line of standard input"),
            );
        }
        ask_twice(&format!("New password of {}: ", shown(username))).await
    }
}

/// Reads the first line of a file.
///
/// # Errors
/// If the file cannot be read, or there is nothing in its first line.
pub fn first_line(path: &Path) -> Outcome<SecretText> {
    let shown = path.display();
    let line = File::open(path).and_then(|mut file| read_line(&mut file));
    let line = line.map_err(|error| Failure::new(format!("{shown} cannot be read: {error}")))?;
    line.filter(|line| !line.expose().is_empty())
        .ok_or_else(|| Failure::new(format!("there is nothing in the first line of {shown}")))
}

/// Asks on the terminal for something that is known; whatever ends it, the terminal is left as it was.
///
/// # Errors
/// If nothing is typed, or a signal ends it.
pub async fn ask_once(question: &str) -> Outcome<SecretText> {
    let mut stop = Stop::listen()?;
    let _hidden = Hidden::begin()?;
    ask(question, &mut stop).await
}

/// Asks on the terminal for something new, twice; whatever ends it, the terminal is left as it was.
///
/// # Errors
/// If nothing is typed, a signal ends it, or it was typed in two ways.
pub async fn ask_twice(question: &str) -> Outcome<SecretText> {
    // In this order: no signal finds the terminal hidden and nobody who hears of it.
    let mut stop = Stop::listen()?;
    let _hidden = Hidden::begin()?;
    let password = ask(question, &mut stop).await?;
    let again = ask("The same again: ", &mut stop).await?;
    if password == again {
        Ok(password)
    } else {
        Err(Failure::new(
            "the two are not the same: nothing was changed",
        ))
    }
}

/// Asks once. What ends programs ends the asking, and the program by way of its error.
async fn ask(question: &str, stop: &mut Stop) -> Outcome<SecretText> {
    let mut stderr = io::stderr();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    // A thread of its own, which nobody waits for: it cannot be told to stop reading.
    let (reply, typed) = oneshot::channel();
    std::thread::spawn(move || {
        let stdin = io::stdin().as_fd().try_clone_to_owned();
        let line = stdin.and_then(|terminal| read_line(&mut File::from(terminal)));
        let _ = reply.send(line);
    });
    let typed = tokio::select! {
        typed = typed => typed.map_err(io::Error::other)?,
        () = stop.asked() => Ok(None),
    };
    // The line break that was typed did not show either; the terminal may be gone.
    let _ = writeln!(stderr);
    typed?.ok_or_else(|| Failure::new("no password was given: nothing was changed"))
}

/// A terminal on which what is typed does not show, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // What was typed before the question is no answer to it.
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// The first line without its end; nothing if there is nothing at all. Byte by byte: a buffer would
/// keep what came after it, and not be cleared.
fn read_line(input: &mut impl Read) -> io::Result<Option<SecretText>> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE + 1));
    let mut byte = Zeroizing::new([0]);
    loop {
        match input.read(byte.as_mut()) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if line.len() > MAX_LINE => {
                let message = "the line is too long for a password";
                return Err(io::Error::new(ErrorKind::InvalidData, message));
            }
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let text = str::from_utf8(&line)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "the password is not UTF-8"))?;
    Ok(Some(SecretText::new(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(mut input: &[u8]) -> io::Result<Option<String>> {
        let line = read_line(&mut input)?;
        Ok(line.map(|line| line.expose().to_owned()))
    }

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        for (input, password) in [
            ("correct horse\n", "correct horse"),
            ("correct horse", "correct horse"),
            ("correct horse\r\nmore\n", "correct horse"),
            (" spaces stay \n", " spaces stay "),
            ("\n", ""),
        ] {
            assert_eq!(line(input.as_bytes()).unwrap().as_deref(), Some(password));
        }
        assert_eq!(line(b"").unwrap(), None);
    }

    #[test]
    fn what_is_no_password_is_not_shown() {
        let endless = vec![b'x'; 4 * MAX_LINE];
        assert!(line(&endless).is_err());
        let error = line(b"s\xffcret\n").unwrap_err().to_string();
        assert!(!error.contains("cret"), "{error}");
    }

    proptest! {
        #[test]
        fn any_line_is_read_as_it_is(text in "[^\\r\\n]{1,200}", rest in "\\PC*") {
            let input = format!("{text}\n{rest}");
            prop_assert_eq!(line(input.as_bytes()).unwrap(), Some(text));
        }
    }
}
