//! Questions to `pyseto`, a Python implementation of PASETO that is not ours.

use serde_json::{Value, json};

use crate::support::Home;
use crate::tools;

/// Asks; `pyseto.py` answers.
pub struct Pyseto<'a>(&'a Home);

impl<'a> Pyseto<'a> {
    /// It runs where commands run.
    pub fn new(home: &'a Home) -> Self {
        home.write("pyseto_answers.py", include_str!("pyseto.py"));
        Self(home)
    }

    /// All the answers, in the order of the questions.
    #[track_caller]
    pub fn ask(&self, questions: &[Value]) -> Vec<Value> {
        let asked: Vec<String> = questions.iter().map(Value::to_string).collect();
        let mut python = tools::python(self.0);
        let printed = tools::run(python.arg("pyseto_answers.py"), &asked.join("\n"));
        let answer = |line| serde_json::from_str(line).expect("an answer as JSON");
        let answers: Vec<Value> = printed.lines().map(answer).collect();
        assert_eq!(answers.len(), questions.len(), "answers of pyseto");
        answers
    }

    /// What is in a token, which has to be in force: `claims`, `footer`, `data`, and the key's `kid`.
    /// Or else what was `refused`.
    #[track_caller]
    pub fn open(&self, token: &str, public: &str, seal_key: &str) -> Value {
        let question = json!({
            "ask": "open",
            "token": token,
            "public": public,
            "seal_key": seal_key,
            "at": "this moment",
        });
        self.ask(&[question]).remove(0)
    }

    /// The tokens that these questions ask to be made.
    #[track_caller]
    pub fn tokens(&self, questions: &[Value]) -> Vec<String> {
        let answers = self.ask(questions);
        let tokens = answers.iter().map(|answer| super::text(&answer["token"]));
        tokens.collect()
    }
}
