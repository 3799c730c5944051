//! The `syslog` driver, in the formats of Docker's.
//!
//! Deliberately ignores TLS, which is refused when the task is registered.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use base::Timestamp;
use runtime::spool::{Entry, Stream};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};

use super::driver::dial;

/// Where syslog listens on a host that runs one.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// `daemon`, as Docker has it.
const DEFAULT_FACILITY: u8 = 3;

const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

#[derive(Debug)]
pub(crate) struct Syslog {
    address: Address,
    facility: u8,
    format: Format,
    tag: String,
    hostname: String,
    connection: Option<Connection>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    /// The first of [`LOCAL`] that takes it.
    Local,
    Unix(PathBuf),
    Datagram(PathBuf),
    Udp(String),
    Tcp(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// What the C library sends: no host name.
    Local,
    Rfc3164,
    Rfc5424,
    Rfc5424Micro,
}

#[derive(Debug)]
enum Connection {
    Datagram(UnixDatagram),
    Udp(UdpSocket),
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Syslog {
    /// # Errors
    /// An option's value means nothing; in the words of Docker's driver.
    pub fn new(options: &BTreeMap<String, String>, tag: String) -> Result<Self, String> {
        let option = |name: &str| options.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let format = match option("syslog-format") {
            None => Format::Local,
            Some("rfc3164") => Format::Rfc3164,
            Some("rfc5424") => Format::Rfc5424,
            Some("rfc5424micro") => Format::Rfc5424Micro,
            Some(_) => return Err("Invalid syslog format".to_owned()),
        };
        let facility = option("syslog-facility").map_or(Ok(DEFAULT_FACILITY), facility)?;
        let address = option("syslog-address").map_or(Ok(Address::Local), address)?;
        let hostname = rustix_hostname();
        Ok(Syslog { address, facility, format, tag, hostname, connection: None })
    }

    /// # Errors
    /// Nobody takes messages there.
    pub async fn connect(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            self.connection = Some(connect(&self.address).await?);
        }
        Ok(())
    }

    pub async fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            let message = self.message(entry);
            let sent = match self.connect().await {
                Ok(()) => self.send(&message).await,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                self.connection = None;
                return Err(error);
            }
        }
        if let Some(Connection::Tcp(stream)) = &mut self.connection {
            stream.flush().await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self.connection.as_mut() {
            Some(Connection::Datagram(socket)) => socket.send(message).await.map(drop),
            Some(Connection::Udp(socket)) => socket.send(message).await.map(drop),
            Some(Connection::Unix(stream)) => stream.write_all(message).await,
            Some(Connection::Tcp(stream)) => stream.write_all(message).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn message(&self, entry: &Entry) -> Vec<u8> {
        // Errors at severity 3, everything else at 6.
        let severity = if entry.stream == Stream::Stderr { 3 } else { 6 };
        let priority = u32::from(self.facility) * 8 + severity;
        let (tag, pid, host) = (&self.tag, std::process::id(), &self.hostname);
        let head = match self.format {
            Format::Local => format!("<{priority}>{} {tag}[{pid}]: ", stamp(entry.time)),
            Format::Rfc3164 => format!("<{priority}>{} {host} {tag}[{pid}]: ", stamp(entry.time)),
            Format::Rfc5424 => {
                format!("<{priority}>1 {} {host} {tag} {pid} {tag} - ", rfc3339(entry.time, 0))
            }
            Format::Rfc5424Micro => {
                format!("<{priority}>1 {} {host} {tag} {pid} {tag} - ", rfc3339(entry.time, 6))
            }
        };
        let mut message = head.into_bytes();
        message.extend_from_slice(&entry.text);
        message.push(b'\n');
        message
    }
}

fn facility(text: &str) -> Result<u8, String> {
    let by_name = FACILITIES.iter().position(|name| *name == text);
    let by_number = text.parse::<usize>().ok().filter(|number| *number < FACILITIES.len());
    let found = by_name.or(by_number).and_then(|number| u8::try_from(number).ok());
    found.ok_or_else(|| "invalid syslog facility".to_owned())
}

fn address(text: &str) -> Result<Address, String> {
    let wrong = || format!("unsupported syslog address: {text}");
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let with_port = || if rest.contains(':') { rest.to_owned() } else { format!("{rest}:514") };
    match scheme {
        "unix" => Ok(Address::Unix(PathBuf::from(rest))),
        "unixgram" => Ok(Address::Datagram(PathBuf::from(rest))),
        "udp" => Ok(Address::Udp(with_port())),
        "tcp" => Ok(Address::Tcp(with_port())),
        _ => Err(wrong()),
    }
}

async fn connect(address: &Address) -> io::Result<Connection> {
    let datagram = |path: &std::path::Path| {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path).map_err(|error| dial("unixgram", &path.display(), error))?;
        Ok::<_, io::Error>(Connection::Datagram(socket))
    };
    match address {
        Address::Local => {
            let found = LOCAL.iter().find_map(|path| datagram(path.as_ref()).ok());
            found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "Unix syslog delivery error"))
        }
        Address::Datagram(path) => datagram(path),
        Address::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => Ok(Connection::Unix(stream)),
            // Most daemons listen for datagrams there, and Docker tries both.
            Err(_) => datagram(path),
        },
        Address::Udp(to) => {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            socket.connect(to).await.map_err(|error| dial("udp", to, error))?;
            Ok(Connection::Udp(socket))
        }
        Address::Tcp(to) => {
            let stream = TcpStream::connect(to).await;
            Ok(Connection::Tcp(stream.map_err(|error| dial("tcp", to, error))?))
        }
    }
}

/// `Nov 21 18:00:03`, in UTC.
fn stamp(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .map(|at| at.strftime("%b %e %H:%M:%S").to_string())
        .unwrap_or_default()
}

fn rfc3339(at: Timestamp, digits: usize) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).map(|at| format!("{at:.digits$}")).unwrap_or_default()
}

fn rustix_hostname() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use runtime::spool::Position;

    use super::*;

    fn entry(text: &str, stream: Stream) -> Entry {
        let (at, time) = (Position::default(), Timestamp::from_micros(1_700_000_000_123_456));
        Entry { at, next: at, stream, time, goes_on: false, text: text.as_bytes().to_vec() }
    }

    fn with(options: &[(&str, &str)]) -> Result<Syslog, String> {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut made = Syslog::new(&options, "web".to_owned())?;
        made.hostname = "host".to_owned();
        Ok(made)
    }

    #[test]
    fn each_format_is_its_own() {
        let check = |format: &str, expected: &str| {
            let made = with(&[("syslog-format", format), ("syslog-facility", "local1")]).unwrap();
            let message = String::from_utf8(made.message(&entry("hi", Stream::Stderr))).unwrap();
            assert_eq!(message, expected.replace("PID", &std::process::id().to_string()));
        };
        check("", "<139>Nov 14 22:13:20 web[PID]: hi\n");
        check("rfc3164", "<139>Nov 14 22:13:20 host web[PID]: hi\n");
        check("rfc5424", "<139>1 2023-11-14T22:13:20Z host web PID web - hi\n");
        check("rfc5424micro", "<139>1 2023-11-14T22:13:20.123456Z host web PID web - hi\n");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let said = |name, value| with(&[(name, value)]).unwrap_err();
        assert_eq!(said("syslog-format", "x"), "Invalid syslog format");
        assert_eq!(said("syslog-facility", "x"), "invalid syslog facility");
        assert_eq!(said("syslog-facility", "24"), "invalid syslog facility");
        assert!(said("syslog-address", "tcp+tls://a:1").contains("unsupported syslog address"));
        assert!(
            with(&[("syslog-address", "udp://127.0.0.1")]).unwrap().address
                == Address::Udp("127.0.0.1:514".to_owned())
        );
    }

    #[tokio::test]
    async fn messages_arrive_over_each_transport() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = format!("udp://{}", udp.local_addr().unwrap());
        let mut made = with(&[("syslog-address", &to)]).unwrap();
        made.write(&[entry("over udp", Stream::Stdout)]).await.unwrap();
        let mut buffer = [0; 200];
        let got = udp.recv(&mut buffer).await.unwrap();
        assert!(buffer[..got].starts_with(b"<30>") && buffer[..got].ends_with(b"over udp\n"));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let local = UnixDatagram::bind(&path).unwrap();
        let mut made = with(&[("syslog-address", &format!("unix://{}", path.display()))]).unwrap();
        made.write(&[entry("over a socket", Stream::Stdout)]).await.unwrap();
        let got = local.recv(&mut buffer).await.unwrap();
        assert!(buffer[..got].ends_with(b"over a socket\n"));

        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut made = with(&[("syslog-address", &format!("tcp://{}", tcp.local_addr().unwrap()))]).unwrap();
        made.write(&[entry("one", Stream::Stdout), entry("two", Stream::Stdout)]).await.unwrap();
        drop(made);
        let (mut stream, _) = tcp.accept().await.unwrap();
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.unwrap();
        assert_eq!(
            text.lines().filter_map(|line| line.rsplit(": ").next()).collect::<Vec<_>>(),
            ["one", "two"]
        );
    }
}
