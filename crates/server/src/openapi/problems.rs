//! Errors in the OpenAPI document: one answer for each status, with an example of every slug, and
//! the groups of them that endpoints name.

use std::collections::BTreeMap;
use std::time::Duration;

use sealgate_core::error::{Denied, LoginFailure, Reason};
use sealgate_core::permission::Permission;
use sealgate_core::rate::RateLimit;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::{
    ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Type, example::ExampleBuilder,
    schema::ObjectBuilder,
};
use utoipa::{IntoResponses, Modify};

use crate::error::{CredentialKind, Envelope, MediaType, Problem};

/// An identifier for examples.
const REQUEST_ID: &str = "0199c2a0-6f3e-7c41-8f0a-3d5b7e9a1c24";

macro_rules! groups {
    ($($(#[$doc:meta])* $name:ident: $($status:literal),+;)*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    BTreeMap::from([$(reference($status)),+])
                }
            }
        )*
    };
}

groups! {
    /// Of every endpoint.
    Always: 500, 503;
    /// Of an endpoint that wants a credential.
    Guarded: 401, 429, 500, 503;
    /// Of an endpoint that anybody may call, but not too often.
    Limited: 429;
    /// Of an endpoint that not every caller may use.
    Scoped: 403;
    /// Of an endpoint with a JSON body.
    JsonBody: 400, 408, 413, 415;
    /// Of an endpoint whose body is a form.
    FormBody: 400, 408, 413, 415;
    /// Of an endpoint with parameters.
    Parameters: 400;
    /// Of an endpoint about one thing, which may not be there.
    Absent: 404;
    /// Of an endpoint that changes what may be in a state that does not allow it.
    Conflicting: 409;
}

fn reference(status: u16) -> (String, RefOr<Response>) {
    (
        status.to_string(),
        RefOr::Ref(Ref::from_response_name(name(status))),
    )
}

/// The name of a status's answer among the components.
const fn name(status: u16) -> &'static str {
    match status {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        408 => "RequestTimeout",
        409 => "Conflict",
        413 => "PayloadTooLarge",
        415 => "UnsupportedMediaType",
        429 => "TooManyRequests",
        502 => "BadGateway",
        503 => "ServiceUnavailable",
        504 => "GatewayTimeout",
        _ => "InternalError",
    }
}

/// Adds the answers to the components.
pub(super) struct Answers;

impl Modify for Answers {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        for (description, headers, problems) in catalogue() {
            let status = problems[0].status().as_u16();
            let answer = answer(description, headers, &problems);
            components
                .responses
                .insert(name(status).to_owned(), answer.into());
        }
    }
}

/// What an answer is for, the headers it has, and one problem of each slug.
type Entry = (
    &'static str,
    &'static [(&'static str, &'static str)],
    Vec<Problem>,
);

fn catalogue() -> Vec<Entry> {
    let mut entries = refusals();
    entries.extend(faults());
    entries
}

fn refusals() -> Vec<Entry> {
    let retry_after = Duration::from_secs(4);
    let rate_limited = denied(Reason::RateLimited {
        limit: RateLimit::new(1_000, 3_600).expect("neither number is out of bounds"),
        retry_after,
    });
    let too_many_attempts = denied(Reason::TooManyAttempts {
        username: None,
        retry_after,
    });
    let login_failed = denied(Reason::LoginFailed {
        why: LoginFailure::WrongPassword,
        username: None,
    });
    vec![
        (
            "No credential, or one that is not honoured. Why it is not, is for the operator's log",
            &[("WWW-Authenticate", "The kinds of credential that are taken")],
            vec![
                denied(Reason::NoCredential).into(),
                Problem::refused(CredentialKind::Key, denied(Reason::UnknownKey)),
                Problem::CredentialMissing(
                    Some(CredentialKind::Token),
                    denied(Reason::NoCredential),
                ),
                Problem::refused(CredentialKind::Token, denied(Reason::UnknownKey)),
                login_failed.into(),
            ],
        ),
        (
            "The caller is known and may not do this",
            &[],
            vec![
                denied(Reason::MissingPermission(Permission::WRITE.0.to_owned())).into(),
                denied(Reason::NotAdmin).into(),
                denied(Reason::OwnKey).into(),
            ],
        ),
        (
            "Too much for now: by this key, from this address, or of this account's logins",
            &[
                ("Retry-After", "Seconds until the next request may come"),
                ("RateLimit-Limit", "Requests within the time of the policy"),
                ("RateLimit-Remaining", "Requests left now"),
                ("RateLimit-Reset", "Seconds until the next request may come"),
            ],
            vec![rate_limited.into(), too_many_attempts.into()],
        ),
    ]
}

const fn denied(reason: Reason) -> Denied {
    Denied {
        reason,
        key_id: None,
    }
}

fn faults() -> Vec<Entry> {
    let away = "the key store cannot be used at the moment";
    let wrong_seal_key = denied(Reason::WrongSealKey {
        username: String::new(),
    });
    let one = |description, problem| (description, &[] as &[_], vec![problem]);
    vec![
        (
            "Something in the request is not as it has to be; the message names it",
            &[],
            vec![
                Problem::invalid("name", "is missing"),
                Problem::UnsupportedTokenType,
            ],
        ),
        one("There is no such thing", Problem::NotFound("key")),
        one("The body did not arrive in time", Problem::RequestTimeout),
        one(
            "Not in the state that the key is in",
            Problem::Conflict("a revoked key cannot be changed".to_owned()),
        ),
        one("The body is too long", Problem::PayloadTooLarge(65_536)),
        one(
            "The body is not JSON, or not a form where one is wanted",
            Problem::UnsupportedMediaType(MediaType::Json),
        ),
        (
            "Something is broken here; or the session was sealed with another key than was sent",
            &[],
            vec![Problem::Internal(String::new()), wrong_seal_key.into()],
        ),
        (
            "The store, the directory of users, or this server cannot answer now",
            &[("Retry-After", "Seconds until it may be worth another try")],
            vec![
                Problem::Unavailable(away.into(), String::new()),
                Problem::DirectoryUnavailable(String::new()),
                Problem::Busy(Duration::from_secs(1)),
            ],
        ),
        (
            "The service behind the gateway does not answer as it has to",
            &[],
            vec![Problem::BadGateway(
                "the service behind this gateway cannot be reached",
                String::new(),
            )],
        ),
        (
            "The service behind the gateway does not answer in time",
            &[],
            vec![Problem::GatewayTimeout(Duration::from_secs(30))],
        ),
    ]
}

fn answer(description: &str, headers: &[(&str, &str)], problems: &[Problem]) -> Response {
    let examples = problems.iter().map(|problem| {
        let envelope = Envelope {
            error: problem.slug(),
            message: problem.message(),
            status_code: problem.status().as_u16(),
            request_id: REQUEST_ID,
        };
        let value = serde_json::to_value(envelope).ok();
        (problem.slug(), ExampleBuilder::new().value(value).build())
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Error")))
        .examples_from_iter(examples)
        .build();
    let mut answer = ResponseBuilder::new()
        .description(description)
        .content("application/json", content);
    for (name, description) in headers {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let header = HeaderBuilder::new()
            .schema(Some(text))
            .description(Some(*description))
            .build();
        answer = answer.header(*name, header);
    }
    answer.build()
}
