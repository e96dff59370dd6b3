//! A rough road to a registry: a proxy on loopback that does what it is told to each request.
//!
//! One request a connection, so that a request is what is counted, held, cut and answered.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes through.
    Through,
    /// The connection is cut when its head has come.
    Cut,
    /// It goes through, and the connection is cut before the answer.
    AnswerLost,
    /// So many bytes of its body go through, then the connection is cut.
    CutAfter(usize),
    /// It is held for ever, and whoever waits for [`Road::held`] is told.
    Held,
    /// It goes through, its answer is held for ever, and whoever waits for [`Road::held`] is told.
    AnswerHeld,
    /// It is answered here: status line and headers, each ended by a line break.
    Answered(String),
    /// It goes through, and every digest in the answer's head is another one.
    Lied,
}

/// Decides by the number of a request (from 1), its method and its path.
pub type Rule = Box<dyn FnMut(u64, &str, &str) -> Fate + Send>;

/// Repositories, each with the digest that came there.
type Uploads = Arc<Mutex<Vec<(String, String)>>>;

/// A proxy before a registry; ended when dropped.
pub struct Road {
    pub port: u16,
    pub held: Arc<Notify>,
    rule: Arc<Mutex<Rule>>,
    seen: Arc<AtomicU64>,
    uploaded: Uploads,
    task: JoinHandle<()>,
}

impl Road {
    pub async fn to(registry: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_, _, _| Fate::Through)));
        let (held, seen, uploaded) = (Arc::new(Notify::new()), Arc::default(), Arc::default());
        let way = Way {
            registry,
            rule: Arc::clone(&rule),
            held: Arc::clone(&held),
            seen: Arc::clone(&seen),
            uploaded: Arc::clone(&uploaded),
        };
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = way.clone();
                tokio::spawn(async move {
                    // A connection that breaks is what this is about.
                    let _ = way.carry(client).await;
                });
            }
        });
        Self { port, held, rule, seen, uploaded, task }
    }

    /// From now on, counted from 1 again.
    pub fn rule(&self, rule: impl FnMut(u64, &str, &str) -> Fate + Send + 'static) {
        self.seen.store(0, Ordering::SeqCst);
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// Digests of the uploads to this repository that were answered well. Of a push that was dropped some may still come:
    /// they are its own repository's.
    pub fn uploaded(&self, repository: &str) -> Vec<String> {
        let uploaded = self.uploaded.lock().unwrap();
        uploaded.iter().filter(|(place, _)| place == repository).map(|(_, digest)| digest.clone()).collect()
    }

    pub fn place(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Way {
    registry: u16,
    rule: Arc<Mutex<Rule>>,
    held: Arc<Notify>,
    seen: Arc<AtomicU64>,
    uploaded: Uploads,
}

/// The lines of a head, and what of the body came with it.
async fn head(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            bytes.truncate(end + 2);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), body));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// The same head, with the digest of something else.
fn lied(said: &str) -> String {
    let is_digest = |line: &str| line.to_ascii_lowercase().starts_with("docker-content-digest:");
    let other = format!("Docker-Content-Digest: sha256:{}", "0".repeat(64));
    said.lines()
        .map(|line| if is_digest(line) { other.as_str() } else { line })
        .map(|line| format!("{line}\r\n"))
        .collect()
}

impl Way {
    async fn carry(&self, mut client: TcpStream) -> std::io::Result<()> {
        let (asked, first) = head(&mut client).await?;
        let mut words = asked.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        let fate = (self.rule.lock().unwrap())(number, &method, &path);
        match &fate {
            Fate::Cut => return Ok(()),
            Fate::Held => {
                self.held.notify_one();
                return std::future::pending().await;
            }
            Fate::Answered(answer) => {
                let answer = format!("HTTP/1.1 {answer}Content-Length: 0\r\nConnection: close\r\n\r\n");
                client.write_all(answer.as_bytes()).await?;
                // Closed at once, with a body still coming, the answer might be lost on the way.
                client.shutdown().await?;
                let mut rest = [0; 16 * 1024];
                while client.read(&mut rest).await? > 0 {}
                return Ok(());
            }
            _ => {}
        }
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.registry)).await?;
        server.write_all(format!("{asked}Connection: close\r\n\r\n").as_bytes()).await?;
        let length: usize = header(&asked, "content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
        let allowed = if let Fate::CutAfter(bytes) = fate { bytes.min(length) } else { length };
        let begun = first.len().min(allowed);
        server.write_all(&first[..begun]).await?;
        let mut left = allowed - begun;
        let mut piece = vec![0; 64 * 1024];
        while left > 0 {
            let wanted = piece.len().min(left);
            let read = client.read(&mut piece[..wanted]).await?;
            if read == 0 {
                return Ok(());
            }
            server.write_all(&piece[..read]).await?;
            left -= read;
        }
        if allowed < length {
            return Ok(());
        }
        let (said, body) = head(&mut server).await?;
        if method == "PUT" && said.split_whitespace().nth(1) == Some("201") {
            let repository = path.strip_prefix("/v2/").and_then(|rest| Some(rest.split_once("/blobs/")?.0.to_owned()));
            let digest = path.split("digest=").nth(1).map(|digest| digest.replace("%3A", ":"));
            self.uploaded.lock().unwrap().extend(repository.zip(digest));
        }
        match fate {
            Fate::AnswerLost => return Ok(()),
            Fate::AnswerHeld => {
                self.held.notify_one();
                return std::future::pending().await;
            }
            _ => {}
        }
        let said = if fate == Fate::Lied { lied(&said) } else { said };
        client.write_all(said.as_bytes()).await?;
        client.write_all(b"\r\n").await?;
        client.write_all(&body).await?;
        tokio::io::copy(&mut server, &mut client).await?;
        client.shutdown().await
    }
}
