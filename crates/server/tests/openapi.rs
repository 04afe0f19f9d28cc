//! The OpenAPI document is checked in, so that a change of the API shows in its review.

use std::path::PathBuf;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

#[test]
fn the_checked_in_document_is_that_of_the_code() {
    let document = sealgate_server::openapi::document();
    let now = serde_json::to_string_pretty(&document).unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::create_dir_all(path().parent().unwrap()).unwrap();
        std::fs::write(path(), &now).unwrap();
    }
    let checked_in = std::fs::read_to_string(path()).unwrap_or_default();
    assert!(
        checked_in == now,
        "docs/openapi.json is not what the code says: run `UPDATE_OPENAPI=1 cargo test -p \
         sealgate-server --test openapi`, read the difference, and commit it"
    );
}
