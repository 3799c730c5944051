//! Where a command finds its server: the same options, variables and data directory for all.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

/// The port that AWS emulators have taught everybody.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:4566";

/// In the help of a command its own options come first, and these below.
const HEADING: &str = "Which server";

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Address of the one port [default: 127.0.0.1:4566]
    #[arg(long, global = true, help_heading = HEADING, env = "BOXSHIP_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where everything is kept [default: /var/lib/boxship for root, ~/.local/state/boxship for others]
    #[arg(long, global = true, help_heading = HEADING, env = "BOXSHIP_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Options as a TOML file; its keys are the long options' names [default: /etc/boxship.toml]
    #[arg(long, global = true, help_heading = HEADING, env = "BOXSHIP_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What a running server writes beside its data, for other commands to find it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunFile {
    pub pid: u32,
    pub listen: SocketAddr,
    pub runtime: String,
    pub version: String,
}

impl RunFile {
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("run.json")
    }

    /// `None` where no server has ever run, or the last one ended in order.
    pub fn read(data_dir: &Path) -> Option<RunFile> {
        let text = std::fs::read_to_string(RunFile::path(data_dir)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Takes the file away: the server has ended in order.
    pub fn remove(data_dir: &Path) {
        // Gone already is as good.
        let _ = std::fs::remove_file(RunFile::path(data_dir));
    }

    pub fn write(&self, data_dir: &Path) -> Result<()> {
        let path = RunFile::path(data_dir);
        let fresh = path.with_extension("json.new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(self)?)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Place {
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(default_data_dir)
    }

    /// The address of the server: as told, as the running server says, or the default.
    pub fn address(&self) -> SocketAddr {
        let running = || RunFile::read(&self.data_dir()).map(|run| run.listen);
        let address = self.listen.or_else(running).unwrap_or_else(default_listen);
        // A server on every address is reached over loopback.
        if address.ip().is_unspecified() {
            SocketAddr::new(loopback(address), address.port())
        } else {
            address
        }
    }
}

fn loopback(like: SocketAddr) -> std::net::IpAddr {
    if like.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() }
}

/// The option that finds a server on `port`, with a space before it; empty for the usual port.
pub fn listen_option(port: u16) -> String {
    if port == default_listen().port() { String::new() } else { format!(" --listen 127.0.0.1:{port}") }
}

pub fn default_listen() -> SocketAddr {
    DEFAULT_LISTEN.parse().expect("the default is an address")
}

#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/boxship");
    }
    let home = || std::env::var("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = std::env::var("XDG_STATE_HOME").map(PathBuf::from).or_else(|_| home());
    state.unwrap_or_else(|_| std::env::temp_dir()).join("boxship")
}

/// The user who started this through `sudo`, if so.
#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
pub fn invoking_user() -> Option<u32> {
    std::env::var("SUDO_UID").ok()?.parse().ok()
}
