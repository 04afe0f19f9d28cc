//! A record of the audit log as a line for people.

use std::fmt::Write as _;
use std::io;

use sealgate_core::view::EventView;
use serde_json::Value;

use crate::output::{Output, Style, date_time, print_line, shown};

/// Prints a record: when, what, who, then what there is to say of it.
///
/// # Errors
/// If standard output is closed.
pub fn print(event: &EventView, output: &Output) -> io::Result<()> {
    let sequence = event
        .sequence
        .map_or_else(|| "-".to_owned(), |n| n.to_string());
    print_line(format!(
        "{} {} {} {}",
        output.paint(Style::Faint, &format!("{sequence:>6}")),
        date_time(event.time),
        output.paint(style(event), &format!("{:<16}", event.action)),
        shown(&describe(event))
    ))
}

fn style(event: &EventView) -> Style {
    match event.action.as_str() {
        "request.refused" => Style::Bad,
        "key.revoked" | "key.disabled" | "key.expired" | "key.rotated" => Style::Notable,
        action if action.starts_with("key.") => Style::Strong,
        _ => Style::Plain,
    }
}

fn describe(event: &EventView) -> String {
    let mut out = event.actor.clone();
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _ = write!(out, "  {name}={value}");
        }
    };
    let key = event.key_id.map(|id| id.to_string());
    // The actor is the key itself for most requests: once is enough.
    add(
        "key",
        key.filter(|id| !event.actor.ends_with(id)).as_deref(),
    );
    add("from", event.address.as_deref());
    let request = event.method.as_deref().zip(event.path.as_deref());
    add(
        "request",
        request
            .map(|(method, path)| format!("\"{method} {path}\""))
            .as_deref(),
    );
    add(
        "status",
        event.status.map(|status| status.to_string()).as_deref(),
    );
    let agent = event.user_agent.as_deref().map(Value::from);
    add("agent", agent.as_ref().map(quoted).as_deref());
    if let Value::Object(details) = &event.details {
        let is_said = |value: &Value| match value {
            Value::Null => false,
            Value::Array(values) => !values.is_empty(),
            _ => true,
        };
        for (name, value) in details.iter().filter(|(_, value)| is_said(value)) {
            add(name, Some(&quoted(value)));
        }
    }
    out
}

/// A value as it stands after an `=`: text with a space in it is quoted.
fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains(' ') => text.clone(),
        value => value.to_string(),
    }
}
