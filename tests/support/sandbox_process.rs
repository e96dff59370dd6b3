//! `labguard sandbox` as a process of its own, so that what a daemon leaves in it can be counted.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long it may take to tell its address.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sandbox; killed when dropped.
pub struct Sandbox {
    process: Child,
    pub url: String,
    // open as long as it may write to it
    _out: BufReader<ChildStdout>,
}

impl Sandbox {
    /// On a port that the kernel gives it, with `folder` as its home.
    pub fn start(folder: &Path) -> Sandbox {
        Sandbox::start_with(folder, &[])
    }

    /// The same, with more on its command line.
    pub fn start_with(folder: &Path, more: &[&str]) -> Sandbox {
        let log = folder.join("sandbox.log");
        let mut process = labguard(folder)
            .args(["sandbox", "--listen", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        // Its address is told once it listens; one that ends before that tells nothing. Read apart: one that does neither
        // is not waited for.
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let mut url = String::new();
            let read = out.read_line(&mut url);
            let _ = tell.send(read.map(|_| (url, out)));
        });
        match told.recv_timeout(PATIENCE) {
            Ok(Ok((url, out))) if url.starts_with("http://127.0.0.1:") => {
                Sandbox { process, url: url.trim().to_owned(), _out: out }
            }
            told => {
                let told = told.map(|read| read.map(|(url, _)| url));
                let _ = process.kill();
                let ended = process.wait().unwrap();
                panic!("the sandbox told {told:?}, and ended with {ended}:\n{}", fs::read_to_string(log).unwrap());
            }
        }
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
