//! The `fluentd` driver: the forward protocol, an event a message, as Docker's driver sends them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use base::Timestamp;
use rmp::encode;
use runtime::spool::{Entry, Stream};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use super::driver::dial;
use super::identity::Identity;

const DEFAULT: &str = "127.0.0.1:24224";

#[derive(Debug)]
pub(crate) struct Fluentd {
    address: Address,
    tag: String,
    /// Nanoseconds in the event's time (an extension type), not whole seconds.
    is_precise: bool,
    /// The container starts also when nobody takes its output yet.
    pub is_async: bool,
    identity: Identity,
    extra: Vec<(String, String)>,
    connection: Option<Connection>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Tcp(String),
    Unix(PathBuf),
}

#[derive(Debug)]
enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Fluentd {
    /// # Errors
    /// An option's value means nothing.
    pub fn new(options: &BTreeMap<String, String>, identity: Identity) -> Result<Self, String> {
        let option = |name: &str| options.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let is = |name: &str| match option(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(format!("{name} must be true or false, not {other:?}")),
        };
        Ok(Fluentd {
            address: option("fluentd-address").map_or(Ok(Address::Tcp(DEFAULT.to_owned())), address)?,
            tag: identity.tag(option("tag")),
            is_precise: is("fluentd-sub-second-precision")?,
            is_async: is("fluentd-async")?,
            extra: identity.extra(options),
            identity,
            connection: None,
        })
    }

    /// # Errors
    /// Nobody listens there.
    pub async fn connect(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            self.connection = Some(match &self.address {
                Address::Tcp(to) => {
                    let stream = TcpStream::connect(to).await;
                    Connection::Tcp(stream.map_err(|error| dial("tcp", to, error))?)
                }
                Address::Unix(path) => {
                    let stream = UnixStream::connect(path).await;
                    Connection::Unix(stream.map_err(|error| dial("unix", &path.display(), error))?)
                }
            });
        }
        Ok(())
    }

    pub async fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        self.connect().await?;
        let mut messages = Vec::new();
        for entry in entries {
            self.message(&mut messages, entry).map_err(io::Error::other)?;
        }
        let sent = match self.connection.as_mut() {
            Some(Connection::Tcp(stream)) => stream.write_all(&messages).await,
            Some(Connection::Unix(stream)) => stream.write_all(&messages).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        if sent.is_err() {
            self.connection = None;
        }
        sent
    }

    /// `[tag, time, {container_id, container_name, source, log, …}]`.
    fn message(&self, to: &mut Vec<u8>, entry: &Entry) -> Result<(), encode::ValueWriteError> {
        let source = match entry.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let name = format!("/{}", self.identity.name);
        let mut pairs = vec![
            ("container_id", self.identity.id.as_str()),
            ("container_name", name.as_str()),
            ("source", source),
        ];
        let text = String::from_utf8_lossy(&entry.text);
        pairs.push(("log", &text));
        pairs.extend(self.extra.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        if entry.goes_on {
            pairs.push(("partial_message", "true"));
        }
        encode::write_array_len(to, 3)?;
        encode::write_str(to, &self.tag)?;
        self.time(to, entry.time)?;
        encode::write_map_len(to, u32::try_from(pairs.len()).unwrap_or(u32::MAX))?;
        for (name, value) in pairs {
            encode::write_str(to, name)?;
            encode::write_str(to, value)?;
        }
        Ok(())
    }

    fn time(&self, to: &mut Vec<u8>, at: Timestamp) -> Result<(), encode::ValueWriteError> {
        if !self.is_precise {
            return encode::write_sint(to, at.as_secs()).map(drop);
        }
        // EventTime: an extension of type 0 with seconds and nanoseconds, big-endian.
        let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        let nanos = u32::try_from(at.as_micros().rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        encode::write_ext_meta(to, 8, 0)?;
        to.extend_from_slice(&seconds.to_be_bytes());
        to.extend_from_slice(&nanos.to_be_bytes());
        Ok(())
    }
}

fn address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return Ok(Address::Unix(PathBuf::from(path)));
    }
    let host = text.strip_prefix("tcp://").unwrap_or(text);
    if host.contains("://") {
        return Err(format!("unsupported scheme in fluentd address {text:?}"));
    }
    Ok(Address::Tcp(if host.contains(':') { host.to_owned() } else { format!("{host}:24224") }))
}

#[cfg(test)]
mod tests {
    use runtime::spool::Position;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn entry(text: &str) -> Entry {
        let (at, time) = (Position::default(), Timestamp::from_secs(1_700_000_000));
        Entry { at, next: at, stream: Stream::Stdout, time, goes_on: false, text: text.as_bytes().to_vec() }
    }

    fn identity() -> Identity {
        Identity {
            id: "0123456789abcdef".to_owned(),
            name: "ecs-web-1-web-1".to_owned(),
            labels: vec![("team".to_owned(), "red".to_owned())],
            ..Identity::default()
        }
    }

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn an_event_is_a_message() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap().to_string();
        let options = options(&[("fluentd-address", &to), ("tag", "app.{{.ID}}"), ("labels", "team")]);
        let mut made = Fluentd::new(&options, identity()).unwrap();
        made.write(&[entry("hi")]).await.unwrap();
        drop(made);
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let mut read = &bytes[..];
        let text = |read: &mut &[u8]| {
            let length = rmp::decode::read_str_len(read).unwrap() as usize;
            let (text, rest) = read.split_at(length);
            *read = rest;
            String::from_utf8(text.to_vec()).unwrap()
        };
        assert_eq!(rmp::decode::read_array_len(&mut read).unwrap(), 3);
        assert_eq!(text(&mut read), "app.0123456789ab");
        assert_eq!(rmp::decode::read_int::<i64, _>(&mut read).unwrap(), 1_700_000_000);
        let count = rmp::decode::read_map_len(&mut read).unwrap();
        let pairs: BTreeMap<_, _> = (0..count).map(|_| (text(&mut read), text(&mut read))).collect();
        assert_eq!(pairs["log"], "hi");
        assert_eq!(pairs["container_name"], "/ecs-web-1-web-1");
        assert_eq!(pairs["source"], "stdout");
        assert_eq!(pairs["team"], "red");
        assert!(read.is_empty());
    }

    #[test]
    fn a_precise_time_is_an_extension() {
        let mut made =
            Fluentd::new(&options(&[("fluentd-sub-second-precision", "true")]), identity()).unwrap();
        made.tag = "t".to_owned();
        let mut bytes = Vec::new();
        made.time(&mut bytes, Timestamp::from_micros(1_700_000_000_500_000)).unwrap();
        let mut expected = vec![0xd7, 0];
        expected.extend(1_700_000_000_u32.to_be_bytes());
        expected.extend(500_000_000_u32.to_be_bytes());
        assert_eq!(bytes, expected);
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_and_nonsense_is_refused() {
        let closed =
            tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let mut made = Fluentd::new(&options(&[("fluentd-address", &closed)]), identity()).unwrap();
        assert_eq!(made.connect().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(Fluentd::new(&options(&[("fluentd-address", "http://x")]), identity()).is_err());
        assert!(Fluentd::new(&options(&[("fluentd-async", "maybe")]), identity()).is_err());
    }
}
