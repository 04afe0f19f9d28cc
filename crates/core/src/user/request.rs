//! What administrators ask for of users, as it arrives in JSON, and the one place that checks it.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{UserProfile, Username};
use crate::error::Error;
use crate::request::nullable;
use crate::secret::SecretText;

/// Longest name by which a user is called, in characters.
const MAX_DISPLAY_NAME: usize = 100;
/// Longest address of mail, in characters (RFC 5321 section 4.5.3.1).
const MAX_EMAIL: usize = 254;
/// Most roles of a user.
const MAX_ROLES: usize = 32;
/// Longest role, in characters.
const MAX_ROLE: usize = 64;

/// A user to be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserRequest {
    /// What the user logs in with: 1 to 100 letters, digits and `. _ @ + -`, unique whatever the case.
    #[cfg_attr(feature = "openapi", schema(example = "ada"))]
    pub username: String,
    /// The password, of the least length that the settings say and at most 256 bytes.
    #[serde(deserialize_with = "secret_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    pub password: SecretText,
    /// How the user is called by people, at most 100 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(example = "Ada Lovelace"))]
    pub display_name: Option<String>,
    /// Where mail is sent.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(example = "ada@example.com"))]
    pub email: Option<String>,
    /// What the user is, for the applications to make something of; at most 32.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(example = json!(["student"])))]
    pub roles: Vec<String>,
    /// What else there is to say: a JSON object.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub attributes: Map<String, Value>,
}

/// What is to be changed of a user. A field that is absent stays as it is; null takes it away.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(
    clippy::option_option,
    reason = "absent, null and a value are three things"
)]
pub struct UserPatch {
    /// How the user is called by people.
    #[serde(default, deserialize_with = "nullable")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub display_name: Option<Option<String>>,
    /// Where mail is sent.
    #[serde(default, deserialize_with = "nullable")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub email: Option<Option<String>>,
    /// What the user is; replaces all roles.
    #[serde(default)]
    pub roles: Option<Vec<String>>,
    /// What else there is to say; replaces all attributes.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub attributes: Option<Map<String, Value>>,
    /// Whether the user may log in; false ends all sessions too.
    #[serde(default)]
    pub is_active: Option<bool>,
}

impl UserRequest {
    /// Checks every field but the password.
    pub(crate) fn check(&self) -> Result<(Username, UserProfile), Error> {
        let profile = UserProfile {
            display_name: self.display_name.clone(),
            email: self.email.clone(),
            roles: self.roles.clone(),
            attributes: self.attributes.clone(),
        };
        check_profile(&profile)?;
        Ok((Username::parse(&self.username)?, profile))
    }
}

impl UserPatch {
    /// Whether anything is to be changed at all.
    pub(crate) const fn is_empty(&self) -> bool {
        let Self {
            display_name,
            email,
            roles,
            attributes,
            is_active,
        } = self;
        display_name.is_none()
            && email.is_none()
            && roles.is_none()
            && attributes.is_none()
            && is_active.is_none()
    }

    /// Changes a profile; gives the names of the fields that changed.
    pub(crate) fn apply(self, profile: &mut UserProfile) -> Result<Vec<&'static str>, Error> {
        let before = profile.clone();
        if let Some(display_name) = self.display_name {
            profile.display_name = display_name;
        }
        if let Some(email) = self.email {
            profile.email = email;
        }
        if let Some(roles) = self.roles {
            profile.roles = roles;
        }
        if let Some(attributes) = self.attributes {
            profile.attributes = attributes;
        }
        check_profile(profile)?;
        let changed = [
            ("display_name", before.display_name != profile.display_name),
            ("email", before.email != profile.email),
            ("roles", before.roles != profile.roles),
            ("attributes", before.attributes != profile.attributes),
        ];
        let changed = changed.into_iter().filter(|(_, differs)| *differs);
        Ok(changed.map(|(name, _)| name).collect())
    }
}

fn check_profile(profile: &UserProfile) -> Result<(), Error> {
    let UserProfile {
        display_name,
        email,
        roles,
        attributes: _,
    } = profile;
    if let Some(name) = display_name {
        check_text("display_name", name, MAX_DISPLAY_NAME)?;
    }
    if let Some(email) = email {
        check_text("email", email, MAX_EMAIL)?;
        let parts = email.rsplit_once('@');
        if parts.is_none_or(|(local, domain)| local.is_empty() || domain.is_empty())
            || email.contains(char::is_whitespace)
        {
            return Err(Error::invalid(
                "email",
                "an address of mail has an @ within it and no space",
            ));
        }
    }
    if roles.len() > MAX_ROLES {
        return Err(Error::invalid("roles", "a user has at most 32 roles"));
    }
    roles
        .iter()
        .try_for_each(|role| check_text("roles", role, MAX_ROLE))
}

fn check_text(field: &'static str, text: &str, longest: usize) -> Result<(), Error> {
    if text.trim().is_empty() || text.chars().count() > longest {
        return Err(Error::invalid(
            field,
            format!("it has 1 to {longest} characters"),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "control characters are not allowed"));
    }
    Ok(())
}

/// Reads a text that must not be shown.
///
/// # Errors
/// If it is no text.
pub fn secret_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretText, D::Error> {
    String::deserialize(deserializer).map(SecretText::new)
}
