//! `labguard sandbox` as a process of its own, so that what a daemon leaves in it can be counted.

use std::{
    io::Read,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The sandbox; killed when dropped.
pub struct Sandbox {
    pub process: Child,
    pub url: String,
}

impl Sandbox {
    /// On a free port, with `folder` as its home.
    pub fn start(folder: &Path) -> Sandbox {
        Sandbox::start_with(folder, &[])
    }

    /// The same, with more on its command line.
    pub fn start_with(folder: &Path, more: &[&str]) -> Sandbox {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let process = labguard(folder)
            .args(["sandbox", "--listen", &format!("127.0.0.1:{port}")])
            .args(more)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..200 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Sandbox { process, url: format!("http://127.0.0.1:{port}") }
    }

    /// What exists beyond the account's initial state, as the sandbox itself tells.
    pub fn leftovers(&self) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        std::io::Write::write_all(
            &mut stream,
            format!("GET /_labguard/leftovers HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned()).unwrap_or(answer)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The binary with nothing of this machine's environment but PATH, and `folder` as its home.
pub fn labguard(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_labguard"));
    command
        .env_clear()
        .env("HOME", folder)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}
