//! What the sections of the tour stand on: it runs commands and asks the server, shows what was done
//! and what came of it with secrets shortened, and checks it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use hyper::StatusCode;
use sealgate_core::clock::Stopwatch;
use serde::Serialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::client::{Ask, send};
use crate::data_dir::DataDir;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, Style, count, print_line};

/// How soon a change at the command line counts in a running server.
const WITHIN: Duration = Duration::from_secs(1);
/// Characters shown of a secret.
const SHOWN: usize = 12;

/// Where the tour takes place.
pub struct Stage {
    address: SocketAddr,
    data_dir: PathBuf,
    output: Output,
    steps: Vec<Step>,
}

/// Something that was done and came out as it should.
#[derive(Serialize)]
struct Step {
    title: String,
    request: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    answer: Value,
}

/// The whole tour, in JSON.
#[derive(Serialize)]
struct Tour<'a> {
    steps: &'a [Step],
    passed: bool,
}

impl Stage {
    /// A stage around a running server and its store.
    pub fn new(address: SocketAddr, place: &DataDir, output: Output) -> Self {
        Self {
            address,
            data_dir: place.path.clone(),
            output,
            steps: Vec::new(),
        }
    }

    /// Begins a section.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn section(&self, title: &str) -> Outcome {
        self.say(format!(
            "\n== {} ==\n",
            self.output.paint(Style::Strong, title)
        ))
    }

    /// Runs a command of Sealgate on the server's store, and gives its JSON.
    ///
    /// # Errors
    /// If it fails.
    pub async fn run(&mut self, title: &str, arguments: &[&str]) -> Outcome<Value> {
        self.run_with_input(title, arguments, "").await
    }

    /// The same, with a line on its standard input, which is not shown.
    ///
    /// # Errors
    /// If it fails.
    pub async fn run_with_input(
        &mut self,
        title: &str,
        arguments: &[&str],
        input: &str,
    ) -> Outcome<Value> {
        let ran = self.spawn(arguments, input).await?;
        let shown = arguments.iter().map(|argument| quote(argument));
        let mut shown = format!("sealgate {} --json", shown.collect::<Vec<_>>().join(" "));
        if !input.is_empty() {
            shown.push_str(" < password.txt");
        }
        if !ran.status.success() {
            let error = String::from_utf8_lossy(&ran.stderr);
            return Err(self.failed(title, &format!("`{shown}` failed: {}", error.trim())));
        }
        let answer = serde_json::from_slice(&ran.stdout)
            .map_err(|error| self.failed(title, &format!("`{shown}` printed no JSON: {error}")))?;
        self.show(title, shown, None, &answer)?;
        Ok(answer)
    }

    /// Shows something that was found out without asking anybody.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn observe(&mut self, title: &str, request: &str, found: &Value) -> Outcome {
        self.show(title, request.to_owned(), None, found)
    }

    async fn spawn(&self, arguments: &[&str], input: &str) -> Outcome<std::process::Output> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        let settings = std::env::vars_os().map(|(name, _)| name);
        for name in settings.filter(|name| name.to_string_lossy().starts_with("SEALGATE_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args(arguments)
            .arg("--json")
            .arg("--data-dir")
            .arg(&self.data_dir)
            .current_dir(&self.data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may have stopped reading, and then says why itself.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        Ok(child.wait_with_output().await?)
    }

    /// Asks the server, and gives its answer.
    ///
    /// # Errors
    /// If the answer has another status.
    pub async fn ask(
        &mut self,
        title: &str,
        ask: &Ask<'_>,
        expected: StatusCode,
    ) -> Outcome<Value> {
        let (status, answer) = send(self.address, ask).await?;
        if status != expected {
            let found = format!("{expected} was expected, and {status} came: {answer}");
            return Err(self.failed(title, &found));
        }
        self.show(title, self.curl(ask), Some(status), &answer)?;
        Ok(answer)
    }

    /// Asks until the server refuses, which it has to within a second of what was done before.
    ///
    /// # Errors
    /// If it takes longer.
    pub async fn ask_until_refused(&mut self, title: &str, ask: &Ask<'_>) -> Outcome {
        let stopwatch = Stopwatch::start();
        loop {
            let (status, answer) = send(self.address, ask).await?;
            if status == StatusCode::UNAUTHORIZED {
                let title = format!(
                    "{title}: refused after {} ms",
                    stopwatch.elapsed().as_millis()
                );
                return self.show(&title, self.curl(ask), Some(status), &answer);
            }
            if stopwatch.elapsed() > WITHIN {
                return Err(self.failed(title, &format!("still {status} after a second")));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Fails the last step unless something holds.
    ///
    /// # Errors
    /// If it does not.
    pub fn check(&self, holds: bool, what: &str) -> Outcome {
        match self.steps.last() {
            Some(step) if !holds => {
                let problem = format!("it does not hold that {what}");
                Err(Failure::new(problem).about(numbered(self.steps.len(), &step.title)))
            }
            _ => Ok(()),
        }
    }

    /// Says that all went well.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn finish(&self) -> Outcome {
        if self.output.json {
            let tour = Tour {
                steps: &self.steps,
                passed: true,
            };
            return Ok(self.output.json(&tour)?);
        }
        let steps = count(self.steps.len() as u64, "step", "steps");
        let passed = format!("All {steps} came out as they should.");
        self.say(format!("\n{}", self.output.paint(Style::Good, &passed)))
    }

    fn show(
        &mut self,
        title: &str,
        request: String,
        status: Option<StatusCode>,
        answer: &Value,
    ) -> Outcome {
        let answer = shortened(answer);
        let number = self.steps.len() + 1;
        let mut text = format!(
            "{}\n",
            self.output.paint(Style::Strong, &numbered(number, title))
        );
        text.push_str(
            &self
                .output
                .paint(Style::Notable, &format!("   $ {request}")),
        );
        if let Some(status) = status {
            let _ = write!(text, "\n   {status}");
        }
        for line in serde_json::to_string_pretty(&answer)
            .unwrap_or_default()
            .lines()
        {
            text.push_str("\n   ");
            text.push_str(line);
        }
        self.steps.push(Step {
            title: title.to_owned(),
            request,
            status: status.map(|status| status.as_u16()),
            answer,
        });
        self.say(text + "\n")
    }

    /// Says something to whoever watches.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn say(&self, text: String) -> Outcome {
        if !self.output.json && !self.output.quiet {
            print_line(text)?;
        }
        Ok(())
    }

    fn failed(&self, title: &str, problem: &str) -> Failure {
        Failure::new(problem).about(numbered(self.steps.len() + 1, title))
    }

    /// The request as it could be typed.
    fn curl(&self, ask: &Ask<'_>) -> String {
        let mut curl = "curl".to_owned();
        if ask.method != hyper::Method::GET {
            curl.push_str(" -X ");
            curl.push_str(ask.method.as_str());
        }
        let _ = write!(curl, " http://{}{}", self.address, ask.path);
        for (name, before, secret) in ask.credential.headers() {
            let _ = write!(curl, " -H \"{name}: {before}{}\"", short(secret));
        }
        if let Some(body) = &ask.body {
            let body = shortened(body);
            let _ = write!(curl, " -H \"Content-Type: application/json\" -d '{body}'");
        }
        curl
    }
}

fn numbered(number: usize, title: &str) -> String {
    format!("{number}. {title}")
}

fn quote(argument: &str) -> String {
    if argument.contains(' ') {
        format!("\"{argument}\"")
    } else {
        argument.to_owned()
    }
}

/// A JSON value with everything secret in it cut short, without the fields that are empty.
fn shortened(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !is_empty(value))
            .map(|(name, value)| match (name.as_str(), value) {
                ("api_key" | "token" | "ciphertext" | "password", Value::String(text)) => {
                    (name.clone(), short(text).into())
                }
                ("data", Value::String(text)) => (name.clone(), short(text).into()),
                _ => (name.clone(), shortened(value)),
            })
            .collect(),
        Value::Array(values) => values.iter().map(shortened).collect(),
        plain => plain.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null()
        || *value == ""
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn short(secret: &str) -> String {
    let shown: String = secret.chars().take(SHOWN).collect();
    format!("{shown}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_cut_short_wherever_they_are() {
        let key = "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3";
        let value = json!({"keys": [{"api_key": key, "name": "Admin"}]});
        assert_eq!(
            shortened(&value),
            json!({"keys": [{"api_key": "TcE8hG4L.UVZ…", "name": "Admin"}]})
        );
    }
}
