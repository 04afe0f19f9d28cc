//! Which paths are Sealgate's where it shares a port with the service behind it.

use std::collections::HashSet;

use utoipa::openapi::OpenApi;

/// The paths of the API, as they are written in its description and in no other way: what is spelled
/// differently means something to the service alone.
#[derive(Debug)]
pub(super) struct OwnPaths {
    whole: HashSet<Box<str>>,
    /// Those with something variable in them, by their segments.
    templates: Vec<Vec<Segment>>,
}

#[derive(Debug)]
enum Segment {
    Fixed(Box<str>),
    Any,
}

/// The page that says what Sealgate is: a service in front of which it stands has one of its own.
const INDEX: &str = "/";

impl OwnPaths {
    pub fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.keys().map(String::as_str);
        let paths = paths.filter(|path| *path != INDEX);
        let (templates, whole): (Vec<&str>, Vec<&str>) = paths.partition(|path| path.contains('{'));
        Self {
            whole: whole.into_iter().map(Box::from).collect(),
            templates: templates.into_iter().map(segments).collect(),
        }
    }

    /// Whether a path is one of them.
    pub fn contains(&self, path: &str) -> bool {
        self.whole.contains(path) || self.templates.iter().any(|it| fits(it, path))
    }
}

fn segments(template: &str) -> Vec<Segment> {
    let segments = template.split('/').map(|segment| {
        if segment.starts_with('{') {
            Segment::Any
        } else {
            Segment::Fixed(segment.into())
        }
    });
    segments.collect()
}

fn fits(template: &[Segment], path: &str) -> bool {
    let mut parts = path.split('/');
    template
        .iter()
        .all(|segment| match (segment, parts.next()) {
            (Segment::Fixed(fixed), Some(part)) => **fixed == *part,
            (Segment::Any, Some(part)) => !part.is_empty(),
            (_, None) => false,
        })
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_ours_as_the_description_spells_it_and_in_no_other_way() {
        let own = OwnPaths::of(&crate::openapi::document());
        for path in [
            "/api/auth/verify",
            "/api/auth/keys",
            "/api/auth/keys/0199c2a0/revoke",
            "/api/users/ada",
            "/healthz",
            "/.well-known/jwks.json",
        ] {
            assert!(own.contains(path), "{path}");
        }
        for path in [
            "/",
            "",
            "*",
            "/api",
            "/api/",
            "/api/auth/verify/",
            "/api/auth/verify/../x",
            "/api/auth/%76erify",
            "//api/auth/verify",
            "/API/auth/verify",
            "/api/auth/keys/",
            "/api/auth/keys//revoke",
            "/api/auth/keys/a/b",
            "/orders",
        ] {
            assert!(!own.contains(path), "{path}");
        }
    }
}
