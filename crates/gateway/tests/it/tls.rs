//! HTTPS on the one port: who is believed, who is refused, and in which way.

use std::sync::Arc;
use std::time::Duration;

use authority::{Root, Seal};
use base::{AccountId, Secret};
use gateway::GatewayOptions;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::{seal, served};

/// A client that trusts the authority that the gateway's store has, once it has one.
async fn connector(store: &Store, seal: &Seal) -> TlsConnector {
    let account = AccountId::default_account();
    let root: Arc<Root> = authority::root(store, seal, &account, base::clock::wall()).await.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority::certificates(root.certificate.as_bytes()).unwrap().remove(0)).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// What the gateway of `user` answers over TLS to a request for `name`, shown whole at the end.
async fn asked(user: u32, name: &str, host: &str) -> std::io::Result<String> {
    let (store, seal) = (super::store(), seal());
    let connector = connector(&store, &seal).await;
    let (listener, gateway) = served(store, user, GatewayOptions::default()).await;
    let listen = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(async move { gateway.serve(listener, stopped).await });
    let stream = TcpStream::connect(listen).await?;
    let mut stream = connector.connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await?;
    stream
        .write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("the gateway closes")?;
    Ok(answer)
}

fn own() -> u32 {
    rustix::process::getuid().as_raw()
}

#[tokio::test]
async fn every_name_that_is_ours_is_believed() {
    for name in ["localhost", "127.0.0.1", "a.b.localhost", "ecs.us-east-1.amazonaws.com"] {
        let answer = asked(own(), name, name).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("the page"), "{name}: {answer}");
    }
    let error = asked(own(), "example.com", "example.com").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn the_rules_of_the_port_hold_behind_tls() {
    let foreign = asked(own(), "localhost", "evil.example").await.unwrap();
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    // A user who may not call is told so as one who may is answered: over TLS.
    let stranger = asked(own() + 1, "localhost", "localhost").await.unwrap();
    assert!(
        stranger.starts_with("HTTP/1.1 403") && stranger.contains("only the user who started"),
        "{stranger}"
    );
}

#[tokio::test]
async fn another_secret_opens_no_door() {
    let store = super::store();
    let other = Seal::new(&Secret::new("another"));
    let connector = connector(&store, &other).await;
    let (listener, gateway) = served(store, own(), GatewayOptions::default()).await;
    let listen = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(async move { gateway.serve(listener, stopped).await });
    let stream = TcpStream::connect(listen).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    assert!(connector.connect(name, stream).await.is_err(), "the authority's key cannot be opened");
}
