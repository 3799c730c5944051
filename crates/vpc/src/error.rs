//! Why something did not happen.

use std::io;

use rustix::io::Errno;

use crate::VpcKey;

/// The kernel refused, or the request contradicts what exists.
#[derive(Debug, thiserror::Error)]
pub enum VpcError {
    /// `doing` is constant text; the source has the kernel's reason.
    #[error("{doing} failed")]
    Kernel {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("vpc {0} is not set up on this host")]
    UnknownVpc(VpcKey),
    #[error("interface {0} is not on this host")]
    UnknownInterface(String),
    /// This machine cannot do it, whoever asks.
    #[error("this host cannot make {0}")]
    Unsupported(&'static str),
    #[error("{0} exists with other properties")]
    Conflict(String),
    #[error("{0} is not a usable name")]
    Name(String),
    /// Another container has it, or (`is_ours` false) another program of the machine.
    #[error("port {port} of the host is taken")]
    PortTaken { port: u16, is_ours: bool },
    #[error("no ports of the host are free for {count} in a row")]
    NoPorts { count: u16 },
    /// Every range for the bridge overlaps with the machine's own network, or every address has
    /// gone out.
    #[error("no {0} is free for containers")]
    NoAddresses(&'static str),
    /// [`crate::Vpcs::down`] was called, or the thread that owns the network ended.
    #[error("the network is shut down")]
    Closed,
}

impl VpcError {
    /// Whether the same request can succeed later without anything being changed.
    pub fn is_retryable(&self) -> bool {
        match self {
            VpcError::Kernel { source, .. } => matches!(
                Errno::from_io_error(source),
                Some(Errno::AGAIN | Errno::BUSY | Errno::INTR | Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC)
            ),
            VpcError::PortTaken { .. } | VpcError::NoPorts { .. } | VpcError::NoAddresses(_) => true,
            VpcError::UnknownVpc(_)
            | VpcError::UnknownInterface(_)
            | VpcError::Unsupported(_)
            | VpcError::Conflict(_)
            | VpcError::Name(_)
            | VpcError::Closed => false,
        }
    }
}

/// Says what was being done when the kernel refused.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, VpcError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, VpcError> {
        self.map_err(|error| VpcError::Kernel { doing, source: error.into() })
    }
}
