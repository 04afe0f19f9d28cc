//! The OpenAPI 3.1 document: what all endpoints have in common. The rest each endpoint says of
//! itself, and the two are put together in [`document`].

mod problems;

use http::HeaderName;
use utoipa::openapi::RefOr;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};

use self::problems::Answers;
pub(crate) use self::problems::{
    Absent, Always, Conflicting, FormBody, Guarded, JsonBody, Limited, Parameters, Scoped,
};
use crate::endpoint;
use crate::error::Envelope;

/// The header of seal keys, unless the settings say otherwise.
const SEAL_KEY_HEADER: &str = "x-gomaluum-key";

/// The document of every endpoint that the router has.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Common::openapi();
    document.merge(endpoint::published().into_openapi());
    document.merge(endpoint::public().into_openapi());
    document.merge(endpoint::sessions().into_openapi());
    document.merge(endpoint::of_either_token().into_openapi());
    document.merge(endpoint::guarded().into_openapi());
    document.merge(endpoint::forward_auth().into_openapi());
    document
}

/// The document of a server whose header of seal keys is called like this.
pub(crate) fn document_with(seal_key_header: &HeaderName) -> utoipa::openapi::OpenApi {
    let mut document = document();
    let seal_key = SecurityScheme::ApiKey(ApiKey::Header(seal_key(seal_key_header.as_str())));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("SealKeyAuth", seal_key);
    for item in document.paths.paths.values_mut() {
        let parameters = item.post.iter_mut().flat_map(|it| it.parameters.iter_mut());
        for parameter in parameters.flatten() {
            if let RefOr::T(parameter) = parameter
                && parameter.name == SEAL_KEY_HEADER
            {
                seal_key_header.as_str().clone_into(&mut parameter.name);
            }
        }
    }
    document
}

fn seal_key(header: &str) -> ApiKeyValue {
    ApiKeyValue::with_description(
        header,
        "The seal key of the login: `gml_…`, hexadecimal digits, or a managed key. The default key \
         if absent.",
    )
}

/// What all endpoints have in common.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Sealgate API",
        description = "Managed API keys, and the short-lived access tokens that they are exchanged \
                       for; users' sessions, whose data is sealed with a key of the client's.\n\n\
                       Send a key as `X-API-Key`, or a token as `Authorization: Bearer`. \
                       Where a request carries both, both have to be good, and the token says who \
                       calls. A session token goes the same way, with its seal key in \
                       `x-gomaluum-key`.\n\nBodies are JSON in UTF-8, times RFC 3339 in UTC. Unknown fields \
                       and parameters are refused, but for those of a login. Introspection and \
                       revocation of tokens are as OAuth has them: their bodies are forms, whose \
                       unknown parameters are passed over, and their times unix seconds. Every answer but a 200 of `/api/auth/verify` has an `X-Request-Id`, and every \
                       error, from whatever layer, the same shape: `Error`; but those of `/api/auth/verify` \
                       have no body.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "Tokens", description = "Exchange a key for a token, renew it, see who one is; \
                                         ask about somebody's token, and revoke it."),
        (name = "Seal keys", description = "Make a key to seal sessions with."),
        (name = "Sessions", description = "Log users in and out, show their data."),
        (name = "Users", description = "Administer users, as an administrator."),
        (name = "Keys", description = "Administer keys, as an administrator."),
        (name = "Encryption", description = "Seal texts under keys that never leave the server."),
        (name = "Proxies", description = "For reverse proxies, which ask before they let a request through."),
        (name = "Operation", description = "For monitoring."),
        (name = "About", description = "What Sealgate says of itself."),
    ),
    components(schemas(Envelope<'static>)),
    modifiers(&SecuritySchemes, &Answers),
)]
struct Common;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let key = ApiKeyValue::with_description("X-API-Key", "A managed key, `PREFIX.RANDOM`.");
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("An access token, from `POST /api/auth/token`."))
            .build();
        let session = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("PASETO")
            .description(Some("A session token, from `POST /api/auth/login`."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("ApiKeyAuth", SecurityScheme::ApiKey(ApiKey::Header(key)));
        components.add_security_scheme("BearerAuth", SecurityScheme::Http(token));
        components.add_security_scheme("SessionAuth", SecurityScheme::Http(session));
        let seal_key = SecurityScheme::ApiKey(ApiKey::Header(seal_key(SEAL_KEY_HEADER)));
        components.add_security_scheme("SealKeyAuth", seal_key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_summary_a_tag_and_its_errors() {
        for (path, item) in document().paths.paths {
            let operations = [item.get, item.post, item.patch, item.put, item.delete];
            for operation in operations.into_iter().flatten() {
                assert!(operation.summary.is_some(), "{path}");
                assert_eq!(operation.tags.map(|tags| tags.len()), Some(1), "{path}");
                let responses = operation.responses.responses;
                assert!(responses.contains_key("500"), "{path}");
                // A login's credential is its body.
                let guarded = operation.security.is_some() || path.ends_with("/login");
                assert_eq!(responses.contains_key("401"), guarded, "{path}");
            }
        }
    }
}
