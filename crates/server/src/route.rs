//! The names under which requests are logged and counted: one for each route of the OpenAPI
//! document, made once, so that a client can neither make up names nor cost an allocation.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::MatchedPath;
use http::Method;
use utoipa::openapi::OpenApi;

/// What requests are called that fit no route.
const UNMATCHED: &str = "unmatched";

/// A method and a path's template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Both, such as `GET /api/auth/keys/{id}`.
    pub name: Arc<str>,
    /// The method; `other` for those that HTTP does not define.
    pub method: &'static str,
    /// The template, such as `/api/auth/keys/{id}`.
    pub path: Arc<str>,
}

impl Route {
    pub fn new(method: &'static str, path: &str) -> Self {
        Self {
            name: format!("{method} {path}").into(),
            method,
            path: path.into(),
        }
    }
}

/// Every route there is.
#[derive(Debug)]
pub(crate) struct Routes(HashMap<String, Vec<Arc<Route>>>);

impl Routes {
    /// The routes of a document; where there is GET, there is HEAD (RFC 9110 section 9.1).
    pub fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        let routes = paths.map(|(path, item)| {
            let known = [
                ("GET", item.get.is_some()),
                ("HEAD", item.get.is_some()),
                ("POST", item.post.is_some()),
                ("PATCH", item.patch.is_some()),
                ("PUT", item.put.is_some()),
                ("DELETE", item.delete.is_some()),
            ];
            let routes = known.into_iter().filter(|(_, is_there)| *is_there);
            let routes = routes.map(|(method, _)| Arc::new(Route::new(method, path)));
            (path.clone(), routes.collect())
        });
        Self(routes.collect())
    }

    /// The route of a request.
    pub fn find(&self, method: &Method, matched: Option<&MatchedPath>) -> Arc<Route> {
        let method = method_name(method);
        let path = matched.map_or(UNMATCHED, MatchedPath::as_str);
        let known = self.0.get(path).and_then(|routes| {
            let mut routes = routes.iter();
            routes.find(|route| route.method == method).map(Arc::clone)
        });
        known.unwrap_or_else(|| Arc::new(Route::new(method, path)))
    }
}

/// The methods of HTTP, and what any other is called.
pub(crate) const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "other",
];

/// One of [`METHODS`].
pub(crate) fn method_name(method: &Method) -> &'static str {
    let known = METHODS.iter().find(|known| **known == method.as_str());
    known.unwrap_or(&METHODS[METHODS.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_whatever_the_client_sends() {
        let routes = Routes::of(&crate::openapi::document());
        let made_up = Method::from_bytes(b"MADEUP").unwrap();
        assert_eq!(&*routes.find(&made_up, None).name, "other unmatched");
        assert_eq!(&*routes.find(&Method::GET, None).name, "GET unmatched");
    }

    #[test]
    fn every_get_is_a_head_too() {
        let routes = Routes::of(&crate::openapi::document());
        for known in routes.0.values() {
            let has = |method: &str| known.iter().any(|route| route.method == method);
            assert_eq!(has("GET"), has("HEAD"));
        }
    }
}
