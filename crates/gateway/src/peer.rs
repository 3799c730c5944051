//! Who owns the other end of a loopback connection.
//!
//! Asked of the kernel by `sock_diag`, once per connection and right after accept. A socket that
//! is closing has lost its inode and shows uid 0, which would make everybody root: such an entry
//! does not count.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `struct nlmsghdr` and `struct inet_diag_req_v2`, in bytes.
const HEADER: usize = 16;
const REQUEST: usize = 56;
/// Offsets in `struct inet_diag_msg`.
const UID_AT: usize = 64;
const INODE_AT: usize = 68;

/// The user id of the process that opened `client`, a socket connected to `server` on this machine.
/// `None` where the kernel knows no such open socket.
pub fn owner(client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    let (client, server) = (canonical(client), canonical(server));
    rustix::net::send(&socket, &question(client, server), SendFlags::empty())?;
    let mut answer = [0u8; 512];
    let (_, received) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    Ok(parse(&answer[..received]))
}

/// An IPv4 client of a dual-stack listener shows as a mapped address, the kernel's table has it plain.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn question(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + REQUEST);
    message.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0u8; 8]); // sequence, port id
    let family = if client.is_ipv4() { AF_INET } else { AF_INET6 };
    message.extend([family, IPPROTO_TCP, 0, 0]);
    message.extend(u32::MAX.to_ne_bytes()); // any state
    message.extend(client.port().to_be_bytes());
    message.extend(server.port().to_be_bytes());
    message.extend(padded(client.ip()));
    message.extend(padded(server.ip()));
    message.extend([0u8; 4]); // any interface
    message.extend([0xff; 8]); // no cookie
    message
}

fn padded(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
    }
}

fn parse(answer: &[u8]) -> Option<u32> {
    let word = |at: usize| -> Option<u32> {
        let bytes = answer.get(HEADER + at..HEADER + at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    if kind != SOCK_DIAG_BY_FAMILY || word(INODE_AT)? == 0 {
        return None;
    }
    word(UID_AT)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::owner;

    #[test]
    fn an_open_client_is_ours_and_a_closed_one_nobodys() {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(bind) else { continue };
            let server = listener.local_addr().unwrap();
            let client = TcpStream::connect(server).unwrap();
            let from = client.local_addr().unwrap();
            let accepted = listener.accept().unwrap();
            assert_eq!(owner(from, server).unwrap(), Some(rustix::process::getuid().as_raw()));
            drop(accepted);
            drop(client);
            assert_eq!(owner(from, server).unwrap(), None);
        }
    }
}
