//! A port of 127.0.0.1 that is kept for a program which binds it later, perhaps several times.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// Bound and never listening: the kernel gives its port to nobody who asks for any, and refuses who connects before the
/// program listens. That one binds it by number beside this, as Linux allows where both set SO_REUSEADDR.
pub struct HeldPort {
    pub number: u16,
    _socket: TcpSocket,
}

impl HeldPort {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        Self { number: socket.local_addr().unwrap().port(), _socket: socket }
    }
}
