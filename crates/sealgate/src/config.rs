//! How the settings come together: a flag counts before the environment, that before the settings
//! file, and that before the default.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use toml::{Table, Value};

use crate::data_dir;
use crate::env::{self, Kind, Variable};
use crate::exit::{Failure, Outcome};
use crate::settings::{Route, Settings, routes};

/// The settings file's name where none is named.
pub const FILE_NAME: &str = "sealgate.toml";

/// The flags of every command.
#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, not Markdown"
)]
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Where the store and the master key are [env: SEALGATE_DATA_DIR]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,

    /// The database, if it is not in the data directory: sqlite:PATH or postgres://… [env:
    /// SEALGATE_DATABASE_URL]
    #[arg(long, value_name = "URL", global = true)]
    pub database_url: Option<String>,

    /// The settings file [env: SEALGATE_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Print JSON alone, in the HTTP API's shapes [env: SEALGATE_JSON]
    #[arg(long, global = true)]
    pub json: bool,

    /// Print results alone [env: SEALGATE_QUIET]
    #[arg(long, global = true)]
    pub quiet: bool,
}

impl Globals {
    /// Whether errors are to be told in JSON, as far as is known before the settings are.
    #[must_use]
    pub fn wants_json(&self) -> bool {
        self.json || env::is_on("SEALGATE_JSON")
    }
}

/// The settings, and the file that some of them are from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
}

/// Reads flags, environment and settings file.
///
/// # Errors
/// Names the file, line and key at fault, or the variable.
pub fn load(globals: &Globals) -> Outcome<Loaded> {
    let file = find(globals);
    let (mut table, routes) = match &file {
        Some(path) => read(path)?,
        None => Default::default(),
    };
    for variable in env::SETTINGS {
        apply_variable(variable, &mut table)?;
    }
    let mut settings =
        Settings::deserialize(table).map_err(|error| Failure::new(error.message()))?;
    let Globals {
        data_dir,
        database_url,
        json,
        quiet,
        ..
    } = globals.clone();
    settings.data_dir = data_dir.or(settings.data_dir);
    if database_url.is_some() {
        (settings.database_url, settings.database_url_file) = (database_url, None);
    }
    settings.json |= json;
    settings.quiet |= quiet;
    settings.routes = routes;
    settings.policy().map_err(|invalid| {
        let shown = file.as_deref().unwrap_or(Path::new(FILE_NAME)).display();
        Failure::new(format!("{shown}:{invalid}"))
            .with_hint("docs/policy.md says what a route can be")
    })?;
    Ok(Loaded { settings, file })
}

/// The file that is named, or one in a place where it is looked for.
fn find(globals: &Globals) -> Option<PathBuf> {
    let named = globals.config.clone();
    if let Some(path) = named.or_else(|| env::value(env::CONFIG).map(PathBuf::from)) {
        return Some(path);
    }
    let here = PathBuf::from(FILE_NAME);
    if here.exists() {
        return Some(here);
    }
    let named = globals.data_dir.clone();
    let named = named.or_else(|| env::value("SEALGATE_DATA_DIR").map(PathBuf::from));
    let in_data_dir = named
        .or_else(data_dir::default_path)
        .map(|directory| directory.join(FILE_NAME));
    in_data_dir.filter(|path| path.exists())
}

/// Reads a settings file; the paths in it are taken from where it is. Its routes stand apart: where they
/// are in the file, nothing else can tell.
fn read(path: &Path) -> Outcome<(Table, Vec<Route>)> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::new(format!("there is no settings file {shown}"))
            .with_hint(
                "sealgate.example.toml is one to start from; without any, all is at its default",
            ),
        _ => Failure::new(format!("the settings file {shown} cannot be read: {error}")),
    })?;
    let complain = |error: &toml::de::Error| {
        let (line, key) = locate(&text, error);
        let message = first_line(error.message());
        Failure::new(format!("{shown}:{line}: {key}{message}"))
            .with_hint("sealgate.example.toml shows every setting")
    };
    // Read into its types first: only then does an error know its line.
    let settings: Settings = toml::from_str(&text).map_err(|error| complain(&error))?;
    let mut table: Table = toml::from_str(&text).map_err(|error| complain(&error))?;
    let directory = path.parent().unwrap_or(Path::new(""));
    resolve_paths(&mut table, directory);
    table.remove("routes");
    Ok((table, routes::with_places(settings.routes, &text)))
}

/// The line of an error, and the key that is written there, followed by a colon.
fn locate(text: &str, error: &toml::de::Error) -> (usize, String) {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let written = text.lines().nth(line - 1).unwrap_or_default();
    let Some((key, _)) = written.split_once('=') else {
        return (line, String::new());
    };
    let mut above = before.lines().rev().map(str::trim);
    let section = above
        .find_map(|line| line.strip_prefix('[')?.split(']').next())
        .map(|section| section.trim_start_matches('['));
    let key = match section {
        Some(section) if !written.trim_start().starts_with('[') => {
            format!("{}.{}: ", section.trim(), key.trim())
        }
        _ => format!("{}: ", key.trim()),
    };
    (line, key)
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

fn resolve_paths(table: &mut Table, directory: &Path) {
    let resolve = |value: &mut Value| {
        if let Value::String(text) = value {
            *text = match text.strip_prefix("sqlite:") {
                Some(path) => format!("sqlite:{}", directory.join(path).display()),
                None => directory.join(&*text).display().to_string(),
            };
        }
    };
    table.get_mut("data_dir").map(resolve);
    table.get_mut("database_url_file").map(resolve);
    // Any other URL is refused later, and is no path.
    let database_url = table.get_mut("database_url");
    database_url
        .filter(|url| url.as_str().is_some_and(|url| url.starts_with("sqlite:")))
        .map(resolve);
    if let Some(Value::Table(tls)) = table.get_mut("tls") {
        tls.iter_mut().for_each(|(_, value)| resolve(value));
    }
    let limits = table.get_mut("limits");
    limits
        .and_then(|it| it.get_mut("redis_url_file"))
        .map(resolve);
    let gateway = table.get_mut("gateway");
    gateway.and_then(|it| it.get_mut("ca_file")).map(resolve);
    for (backend, name) in [
        ("http", "ca_file"),
        ("ldap", "ca_file"),
        ("ldap", "bind_password_file"),
    ] {
        let backend = table.get_mut("identity").and_then(|it| it.get_mut(backend));
        backend.and_then(|it| it.get_mut(name)).map(resolve);
    }
}

/// Puts the value of a variable in the place of its setting.
fn apply_variable(variable: &Variable, table: &mut Table) -> Outcome {
    let Some(text) = env::value(variable.name) else {
        return Ok(());
    };
    let complain = |message: &str| Failure::new(format!("{}: {message}", variable.name));
    let text = text
        .into_string()
        .map_err(|_| complain("its value is not UTF-8"))?;
    let value = match variable.kind {
        Kind::Text => Value::String(text),
        Kind::Number => Value::Integer(text.parse().map_err(|_| complain("write a number"))?),
        Kind::Switch => match text.as_str() {
            "1" | "true" => Value::Boolean(true),
            "0" | "false" => Value::Boolean(false),
            _ => return Err(complain("write 1 or true, 0 or false")),
        },
        Kind::List => text
            .split(',')
            .map(|part| Value::String(part.trim().to_owned()))
            .collect::<Vec<_>>()
            .into(),
        Kind::Numbers => {
            let numbers = text.split(',').map(|part| part.trim().parse().ok());
            let numbers: Option<Vec<Value>> = numbers.map(|n| n.map(Value::Integer)).collect();
            numbers
                .ok_or_else(|| complain("write numbers with commas between them"))?
                .into()
        }
    };
    insert(table, variable.setting, value);
    Settings::deserialize(table.clone())
        .map(drop)
        .map_err(|error| complain(first_line(error.message())))
}

/// Puts a value into its section, however deep that is.
fn insert(table: &mut Table, setting: &str, value: Value) {
    let Some((section, rest)) = setting.split_once('.') else {
        table.insert(setting.to_owned(), value);
        return;
    };
    let section = table
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        insert(section, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complaint(text: &str) -> (usize, String) {
        let error = toml::from_str::<Settings>(text).unwrap_err();
        locate(text, &error)
    }

    #[test]
    fn an_error_in_the_file_is_found_by_line_and_key() {
        assert_eq!(
            complaint("[server]\n\nlisten = 'nowhere'\n"),
            (3, "server.listen: ".to_owned())
        );
        assert_eq!(
            complaint("json = true\nlisen = 'x'\n[server]\n"),
            (2, "lisen: ".to_owned())
        );
        assert_eq!(
            complaint("[keys]\nrotation_days = 90\n[tokens]\nlifetime_seconds = 0\n"),
            (4, "tokens.lifetime_seconds: ".to_owned())
        );
    }

    #[test]
    fn paths_in_the_file_are_taken_from_where_it_is() {
        let mut table: Table = toml::from_str(
            "data_dir = 'data'\ndatabase_url = 'sqlite:x.db'\n[tls]\ncert = '/etc/c.pem'\nkey = 'k.pem'",
        )
        .unwrap();
        resolve_paths(&mut table, Path::new("/srv"));
        let settings = Settings::deserialize(table).unwrap();
        assert_eq!(settings.data_dir, Some("/srv/data".into()));
        assert_eq!(settings.database_url.as_deref(), Some("sqlite:/srv/x.db"));
        assert_eq!(settings.tls.cert, Some("/etc/c.pem".into()));
        assert_eq!(settings.tls.key, Some("/srv/k.pem".into()));

        let mut table: Table = toml::from_str(
            "[identity.http]\nca_file = 'a.pem'\n[identity.ldap]\nbind_password_file = 'p'",
        )
        .unwrap();
        resolve_paths(&mut table, Path::new("/srv"));
        let settings = Settings::deserialize(table).unwrap();
        assert_eq!(settings.identity.http.ca_file, Some("/srv/a.pem".into()));
        assert_eq!(
            settings.identity.ldap.bind_password_file,
            Some("/srv/p".into())
        );
    }

    proptest! {
        #[test]
        fn an_error_is_on_a_line_of_the_file(
            text in "(\\[?(server|tokens|listen|issuer|json|é)?\\]?[=.'\"\\[{, \n\\PC]{0,4}){0,8}",
        ) {
            if let Err(error) = toml::from_str::<Settings>(&text) {
                let (line, _) = locate(&text, &error);
                prop_assert!((1..=text.matches('\n').count() + 1).contains(&line));
            }
        }
    }
}
