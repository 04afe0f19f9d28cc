//! `sealgate completions`: what a shell needs to complete commands and options.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Outcome;

const EXAMPLES: &str = "\
Examples:
  sealgate completions bash > ~/.local/share/bash-completion/completions/sealgate
  sealgate completions zsh > ~/.zfunc/_sealgate
  sealgate completions fish > ~/.config/fish/completions/sealgate.fish";

/// The arguments.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    shell: Shell,
}

impl Args {
    /// Prints them.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn run(&self) -> Outcome {
        // Into memory first: clap_complete panics where it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "sealgate", &mut script);
        Ok(io::stdout().write_all(&script)?)
    }
}
