//! A bare axum server: says hello to whoever asks, as the first example of axum's documentation does.
//! `hello ADDRESS`

use axum::Router;
use axum::routing::any;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    let app = Router::new()
        .route("/", any(hello))
        // Where the requests go that Sealgate is asked with, so that both get the same bytes.
        .route("/api/auth/verify", any(hello))
        // As the application behind a proxy.
        .route("/hello.txt", any(hello));
    axum::serve(listener, app).await
}

async fn hello() -> &'static str {
    "Hello, World!"
}
