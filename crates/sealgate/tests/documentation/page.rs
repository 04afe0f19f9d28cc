//! A page of the documentation as what is to be done, in order.
//!
//! A block of `bash` is run. A block of `json` or `text` after it, under the same heading, is what
//! it prints. A block with a file's name after its language is that file. A comment
//! `<!-- not run: why -->` before a block of `bash` leaves it out.

use std::fs;
use std::path::Path;

/// What is to be done on a page.
pub struct Page {
    /// Its name, such as `docs/keys.md`.
    pub name: String,
    /// What is to be done.
    pub steps: Vec<Step>,
    /// What is left out: where, and why.
    pub not_run: Vec<String>,
}

/// Something to be done.
pub enum Step {
    /// A file is written.
    Write {
        /// Its name.
        file: String,
        /// What is in it.
        text: String,
    },
    /// Commands are run.
    Run(Commands),
}

/// Commands that are run together.
pub struct Commands {
    /// The line that they begin on.
    pub line: usize,
    /// What to type.
    pub text: String,
    /// What the page says that they print.
    pub expected: Option<Expected>,
}

/// What commands print.
pub enum Expected {
    /// A JSON value at the end.
    Json(String),
    /// Lines at the end.
    Text(String),
}

impl Page {
    /// Reads a page.
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a page");
        let file = path.file_name().expect("a page has a name");
        Self::parse(&file.to_string_lossy(), &text)
    }

    /// The commands of the page.
    pub fn commands(&self) -> impl Iterator<Item = &Commands> {
        self.steps.iter().filter_map(|step| match step {
            Step::Run(commands) => Some(commands),
            Step::Write { .. } => None,
        })
    }

    fn parse(name: &str, markdown: &str) -> Self {
        let mut page = Self {
            name: name.to_owned(),
            steps: Vec::new(),
            not_run: Vec::new(),
        };
        let mut lines = markdown.lines().enumerate();
        let mut reason = None;
        let mut may_expect = false;
        while let Some((number, line)) = lines.next() {
            if let Some(info) = line.strip_prefix("```") {
                let body = lines.by_ref().map(|(_, line)| line);
                let text: String = body
                    .take_while(|line| *line != "```")
                    .flat_map(|line| [line, "\n"])
                    .collect();
                let place = Place {
                    line: number + 2,
                    reason: reason.take(),
                };
                may_expect = page.take_block(info, text, place, may_expect);
            } else if let Some(comment) = line.strip_prefix("<!-- not run: ") {
                reason = comment.strip_suffix(" -->").map(str::to_owned);
            } else if line.starts_with('#') {
                may_expect = false;
            }
        }
        page
    }

    /// Takes a block; says whether the next one may be what it prints.
    fn take_block(&mut self, info: &str, text: String, place: Place, may_expect: bool) -> bool {
        let mut words = info.split_whitespace();
        let (language, file) = (words.next().unwrap_or_default(), words.next());
        match (language, file) {
            (_, Some(file)) => {
                let file = file.to_owned();
                self.steps.push(Step::Write { file, text });
                false
            }
            ("bash", None) => self.take_commands(text, place),
            ("json" | "text", None) => {
                let expected = match language {
                    "json" => Expected::Json(text),
                    _ => Expected::Text(text),
                };
                if let (true, Some(Step::Run(commands))) = (may_expect, self.steps.last_mut()) {
                    commands.expected = Some(expected);
                }
                false
            }
            ("console" | "sh" | "shell", None) => {
                panic!(
                    "{}:{}: commands stand in bash blocks",
                    self.name, place.line
                )
            }
            _ => may_expect,
        }
    }
    fn take_commands(&mut self, text: String, place: Place) -> bool {
        let Place { line, reason } = place;
        let is_run = reason.is_none();
        if let Some(reason) = reason {
            self.not_run.push(format!("{}:{line}: {reason}", self.name));
        } else {
            let expected = None;
            self.steps.push(Step::Run(Commands {
                line,
                text,
                expected,
            }));
        }
        is_run
    }
}

/// Where a block is, and why it is not run, if it is not.
struct Place {
    line: usize,
    reason: Option<String>,
}
