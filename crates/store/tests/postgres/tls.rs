//! TLS to the server, and whom it is spoken to.

use sealgate_core::store::Store as _;

use crate::conformance::master;
use crate::conformance::records::{insert, key};
use crate::postgres_server::PostgresServer;
use crate::{commit, is_unavailable, open};

#[tokio::test]
async fn a_server_has_to_prove_its_name_if_the_url_says_so() {
    let server = PostgresServer::start();
    let here = server.database();
    let there = here.replace("127.0.0.1", "localhost");
    let plain = open(&format!("{there}?sslmode=require"), true, &master()).await;
    is_unavailable(plain, "TLS");

    let certificate = server.speak_tls();
    let proved = format!("sslmode=verify-full&sslrootcert={}", certificate.display());
    let store = open(&format!("{there}?{proved}"), true, &master())
        .await
        .unwrap();
    commit(&store, [insert(&key(1))]).await;
    assert_eq!(store.key(key(1).id).await.unwrap(), Some(key(1)));
    let database = there.rsplit_once('/').unwrap().1;
    let encrypted = "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl \
                     JOIN pg_stat_activity USING (pid) WHERE application_name = 'sealgate'";
    assert_eq!(server.sql(database, encrypted), "t\n");

    let of_another_name = open(&format!("{here}?{proved}"), true, &master()).await;
    is_unavailable(of_another_name, "127.0.0.1");
    let of_unknown_origin = format!("{there}?sslmode=verify-full");
    is_unavailable(open(&of_unknown_origin, true, &master()).await, "localhost");
}
