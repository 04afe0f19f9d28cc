//! Why a rule decides about a request, for an administrator: as [`Policy::decide`], in slow motion.

use super::{Demand, Fit, Method, Policy, Rule, Segments, Undecided, is_about_server, path};

/// Why a rule decides, or none can be said to.
#[derive(Debug)]
pub struct Explanation<'p> {
    /// The rules that were looked at before, with why they do not fit. None where no rule can be said to
    /// decide.
    pub passed_over: Vec<(&'p Rule, Misfit)>,
    /// What the request needs.
    pub decided: Result<Demand<'p>, Undecided>,
    /// The ways in which the request can be read, with the rule that decides then, if any does. One if
    /// there is no doubt; none if it cannot be read at all.
    pub readings: Vec<ReadAs<'p>>,
}

/// Why a rule does not fit a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The rule is about other paths.
    Path,
    /// The rule is about other methods.
    Method,
}

/// A way of reading a request.
#[derive(Debug)]
pub struct ReadAs<'p> {
    /// The path, decoded.
    pub path: String,
    /// Whether upper and lower case are taken for the same, in the method too.
    pub ignores_case: bool,
    /// The rule that decides then, if any does.
    pub rule: Option<&'p Rule>,
}

impl Policy {
    /// Explains what [`Self::decide`] says of a request.
    pub fn explain(&self, method: &str, path: &str) -> Explanation<'_> {
        let decided = self.decide(method, Some(path));
        let end = match &decided {
            Ok(demand) => demand.rule(),
            Err(_) => None,
        };
        let passed_over = match &decided {
            Ok(_) => self.passed_over(method, path, end),
            Err(_) => Vec::new(),
        };
        Explanation {
            passed_over,
            readings: self.read_in_every_way(method, path),
            decided,
        }
    }

    fn passed_over(&self, method: &str, path: &str, end: Option<&Rule>) -> Vec<(&Rule, Misfit)> {
        let method = Method::of(method);
        let readings = path::readings(if path.is_empty() { "/" } else { path });
        let fits_path = |rule: &Rule| match readings.as_deref() {
            Some([first, ..]) => rule.fit_path(first.segments().as_slice()) != Fit::No,
            _ => is_about_server(method, path) && rule.pattern.is_everything(),
        };
        let is_before = |rule: &&Rule| end.is_none_or(|end| !std::ptr::eq(*rule, end));
        let before = self.rules.iter().take_while(is_before);
        let misfits = before.map(|rule| {
            let misfit = if fits_path(rule) {
                Misfit::Method
            } else {
                Misfit::Path
            };
            (rule, misfit)
        });
        misfits.collect()
    }

    fn read_in_every_way(&self, method: &str, path: &str) -> Vec<ReadAs<'_>> {
        let method = Method::of(method);
        let readings = path::readings(if path.is_empty() { "/" } else { path });
        let mut all: Vec<ReadAs<'_>> = Vec::new();
        for reading in readings.unwrap_or_default() {
            let (segments, path) = (reading.segments(), reading.show());
            let exact = self.first(method, &segments, Fit::Exactly);
            let folded = self.first(method, &segments, Fit::ButForCase);
            for (ignores_case, rule) in [(false, exact), (true, folded)] {
                let is_news = !ignores_case || !is_same(exact, folded);
                let path = path.clone();
                let read_as = ReadAs {
                    path,
                    ignores_case,
                    rule,
                };
                if is_news && !all.iter().any(|known| known.shows_as(&read_as)) {
                    all.push(read_as);
                }
            }
        }
        all
    }

    /// The first rule that fits at least so well.
    fn first(&self, method: Method<'_>, path: &Segments<'_>, least: Fit) -> Option<&Rule> {
        let fits =
            |rule: &&Rule| rule.fit_path(path.as_slice()).min(rule.fit_method(method)) >= least;
        self.rules.iter().find(fits)
    }
}

impl ReadAs<'_> {
    fn shows_as(&self, other: &Self) -> bool {
        (&self.path, self.ignores_case) == (&other.path, other.ignores_case)
            && is_same(self.rule, other.rule)
    }
}

fn is_same(one: Option<&Rule>, other: Option<&Rule>) -> bool {
    one.map(std::ptr::from_ref) == other.map(std::ptr::from_ref)
}
