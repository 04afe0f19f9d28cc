//! Who a user is, as flags.

use sealgate_core::user::UserPatch;
use serde_json::{Map, Value};

/// The flags of who a user is.
#[derive(clap::Args, Debug, Default)]
pub struct Profile {
    /// How the user is called by people; "" for nothing
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,

    /// Where mail is sent; "" for nowhere
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,

    /// What the user is, for the applications to make something of; repeat it for more
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,

    /// What else there is to say: a text or JSON; repeat it for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_attribute)]
    attribute: Vec<(String, Value)>,
}

impl Profile {
    /// How the user is called.
    pub fn display_name(&self) -> Option<String> {
        self.display_name.clone().filter(|text| !text.is_empty())
    }

    /// Where mail is sent.
    pub fn email(&self) -> Option<String> {
        self.email.clone().filter(|text| !text.is_empty())
    }

    /// What the user is.
    pub fn roles(&self) -> Vec<String> {
        self.role.clone()
    }

    /// What else there is to say.
    pub fn attributes(&self) -> Map<String, Value> {
        self.attribute.iter().cloned().collect()
    }

    /// What is to be changed of a user with these attributes: those that are named, and no others;
    /// null takes one away.
    pub fn patch(&self, attributes: &Map<String, Value>) -> UserPatch {
        let mut merged = attributes.clone();
        for (name, value) in &self.attribute {
            match value {
                Value::Null => drop(merged.remove(name)),
                value => drop(merged.insert(name.clone(), value.clone())),
            }
        }
        UserPatch {
            display_name: self.display_name.is_some().then(|| self.display_name()),
            email: self.email.is_some().then(|| self.email()),
            roles: (!self.role.is_empty()).then(|| self.roles()),
            attributes: (!self.attribute.is_empty()).then_some(merged),
            is_active: None,
        }
    }
}

/// Reads `NAME=VALUE`; what is no JSON is a text.
fn parse_attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("write a name, an equals sign and a value: year=2 or faculty=KICT")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attribute_is_json_or_else_a_text() {
        for (text, name, value) in [
            ("year=2", "year", json!(2)),
            ("faculty=KICT", "faculty", json!("KICT")),
            ("code=\"007\"", "code", json!("007")),
            ("a=b=c", "a", json!("b=c")),
            ("none=", "none", json!("")),
            ("tags=[\"a\",1]", "tags", json!(["a", 1])),
        ] {
            assert_eq!(parse_attribute(text), Ok((name.to_owned(), value)));
        }
        for text in ["", "=", "=x", "faculty"] {
            assert!(parse_attribute(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_update_leaves_the_other_attributes_and_null_takes_one_away() {
        let before = json!({"year": 2, "faculty": "KICT"});
        let profile = Profile {
            attribute: vec![
                ("year".to_owned(), json!(3)),
                ("faculty".to_owned(), Value::Null),
            ],
            ..Profile::default()
        };
        let patch = profile.patch(before.as_object().unwrap());
        assert_eq!(
            patch.attributes.map(Value::Object),
            Some(json!({"year": 3}))
        );
        assert!(patch.roles.is_none() && patch.email.is_none());
    }

    proptest! {
        #[test]
        fn an_attribute_keeps_its_name_and_its_text(name in "[a-z]{1,8}", value in "[g-z ]\\PC*") {
            prop_assume!(serde_json::from_str::<Value>(&value).is_err());
            let parsed = parse_attribute(&format!("{name}={value}"));
            prop_assert_eq!(parsed, Ok((name, Value::from(value))));
        }
    }
}
