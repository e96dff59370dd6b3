//! The kernel's own words about a network namespace: `/proc/net/snmp`, `/proc/net/tcp`, `/proc/net/tcp6`, `/proc/net/dev`.
//!
//! Pure readers of their text. The format is the kernel's (`Documentation/networking/proc_net_tcp.rst`, RFC 1213 for the
//! counters); a line that is not understood is left out, a counter that is not found is `None`, never zero.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// State of a connection over which both sides may still speak.
pub const ESTABLISHED: u8 = 0x01;
/// State of a connection that this side ended, kept for a minute.
pub const TIME_WAIT: u8 = 0x06;
/// State of a connection whose other side has said its last word, and may still be answered.
pub const CLOSE_WAIT: u8 = 0x08;
/// State of a socket that waits for connections.
pub const LISTEN: u8 = 0x0a;
/// State of a connection whose client has not shown that it is there.
pub const SYN_RECV: u8 = 0x03;

/// TCP's counters since the namespace was made, IPv4 and IPv6 together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opens {
    /// Connections that were accepted by a listening socket.
    pub passive: u64,
    /// Connections that were begun from inside.
    pub active: u64,
}

/// Reads `/proc/net/snmp`.
#[must_use]
pub fn opens(text: &str) -> Option<Opens> {
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (rows.next()?, rows.next()?);
    let value = |name: &str| {
        let at = names.split_whitespace().position(|it| it == name)?;
        values.split_whitespace().nth(at)?.parse().ok()
    };
    Some(Opens { passive: value("PassiveOpens")?, active: value("ActiveOpens")? })
}

/// Reads `/proc/net/dev`: bytes received and sent over all devices but loopback.
#[must_use]
pub fn bytes(text: &str) -> Option<(u64, u64)> {
    let (mut received, mut sent) = (0_u64, 0_u64);
    for line in text.lines().skip(2) {
        let (name, counts) = line.split_once(':')?;
        if name.trim() != "lo" {
            let mut counts = counts.split_whitespace();
            received = received.saturating_add(counts.next()?.parse().ok()?);
            sent = sent.saturating_add(counts.nth(7)?.parse().ok()?);
        }
    }
    Some((received, sent))
}

/// One socket of `/proc/net/tcp` or `tcp6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// This side.
    pub local: SocketAddr,
    /// The other side.
    pub remote: SocketAddr,
    /// TCP state, as the kernel numbers them.
    pub state: u8,
}

/// Reads one line; `None` for the title and for what is no socket. An IPv4 address inside IPv6 comes out as IPv4.
#[must_use]
pub fn socket(line: &str) -> Option<Socket> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (end(words.next()?)?, end(words.next()?)?);
    Some(Socket { local, remote, state: u8::from_str_radix(words.next()?, 16).ok()? })
}

/// `0100007F:1388`: words of 32 bits as this machine holds them, and the port as a number.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SNMP: &str = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
        Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails\nTcp: 1 200 120000 -1 7 42 0\n";

    #[test]
    fn the_counters_are_found_by_name_and_a_missing_one_is_not_zero() {
        assert_eq!(opens(SNMP), Some(Opens { passive: 42, active: 7 }));
        assert_eq!(opens(&SNMP.replace("PassiveOpens", "Other")), None);
        assert_eq!(opens("Tcp: PassiveOpens\n"), None);
        let dev = "Inter-|   Receive                                                |  Transmit\n face |bytes ...\n    \
            lo:  9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 30 1 0 0 0 0 0 0\neth1:5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n";
        assert_eq!(bytes(dev), Some((105, 36)));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_socket_is_read_whatever_its_family() {
        let read = |line: &str| socket(line).unwrap();
        let four =
            read("   0: 0100007F:1388 0200000A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 1 1");
        assert_eq!((four.local, four.remote), ("127.0.0.1:5000".parse().unwrap(), "10.0.0.2:40000".parse().unwrap()));
        assert_eq!(four.state, ESTABLISHED);
        let six = read("  1: 000080FE00000000FF005450AE00FEFF:1388 00000000000000000000000001000000:0050 06 0");
        assert_eq!(six.remote, "[::1]:80".parse().unwrap());
        let mapped = read("  1: 0000000000000000FFFF00000100007F:1388 0000000000000000FFFF00000100007F:0050 01 0");
        assert_eq!(mapped.local, "127.0.0.1:5000".parse().unwrap());
        assert_eq!(socket("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"), None);
    }

    proptest! {
        #[test]
        fn no_text_brings_the_readers_down(text in "(Tcp:|Ip:| [0-9A-Fa-f:éß|]*|\n|eth0:){0,20}", any: String) {
            for text in [text, any] {
                let _ = (opens(&text), bytes(&text), socket(&text));
            }
        }
    }
}
