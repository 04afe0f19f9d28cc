//! The question before something that cannot be undone. It is asked on a terminal alone: a script
//! has made up its mind.

use std::io::{self, IsTerminal as _, Write as _};

use crate::exit::{Failure, Outcome};

/// Asks, unless it was answered beforehand or nobody is there to answer.
///
/// # Errors
/// If the answer is anything but yes.
pub fn confirm(question: &str, forced: bool) -> Outcome {
    if forced || !io::stdin().is_terminal() {
        return Ok(());
    }
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was changed")),
    }
}
