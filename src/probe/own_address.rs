//! Which public address labguard calls from: asked of a service that answers with it, as plain text.
//!
//! Guarantees: bounded in time and size; sends nothing but the question: no credentials, no session; follows no
//! redirection and goes through no proxy, since calls to tasks go through none. What is no public IPv4 address is an error.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};

use crate::domain::model::with_causes;

/// For the whole exchange.
const PATIENCE: Duration = Duration::from_secs(5);

/// An address in text is shorter.
const LONGEST: usize = 64;

/// Why it is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnAddressError {
    /// Nobody was named that could be asked.
    #[error("nobody is asked for it: set aws.own_address_url")]
    NotSet,
    /// No answer came.
    #[error("{url} could not be asked: {why}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What happened.
        why: String,
    },
    /// The answer is of no use.
    #[error("{url} answered {answer:?}, which is no public IPv4 address")]
    Useless {
        /// Who was asked.
        url: String,
        /// The beginning of its answer.
        answer: String,
    },
}

/// Who says which address labguard calls from.
pub trait Mirror: Send + Sync + fmt::Debug {
    /// The address, as it is now.
    fn ask(&self) -> BoxFuture<'_, Result<Ipv4Addr, OwnAddressError>>;
}

/// It is known without asking: in a sandbox everything is on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Fixed(pub Ipv4Addr);

impl Mirror for Fixed {
    fn ask(&self) -> BoxFuture<'_, Result<Ipv4Addr, OwnAddressError>> {
        std::future::ready(Ok(self.0)).boxed()
    }
}

/// Whether what answers at this URL is on this machine: a sandbox or an emulator of one's own, and with it the tasks.
/// They see labguard come from the loopback.
#[must_use]
pub fn is_on_this_machine(url: &str) -> bool {
    let uri = url.parse::<http::Uri>().ok();
    uri.as_ref().and_then(http::Uri::host).is_some_and(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// A service at an address; none: nobody is asked.
#[derive(Clone, Debug)]
pub struct Service(pub Option<String>);

impl Mirror for Service {
    fn ask(&self) -> BoxFuture<'_, Result<Ipv4Addr, OwnAddressError>> {
        async move {
            let url = self.0.as_deref().ok_or(OwnAddressError::NotSet)?;
            let failed = |why: String| OwnAddressError::Unreachable { url: url.to_owned(), why };
            match tokio::time::timeout(PATIENCE, text_of(url)).await {
                Ok(text) => read(url, &text.map_err(failed)?),
                Err(_) => Err(failed("no answer within 5 s".to_owned())),
            }
        }
        .boxed()
    }
}

async fn text_of(url: &str) -> Result<String, String> {
    // reqwest is built without a provider of its own; a second installation is refused and fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| with_causes(&error))?;
    let mut answer = client.get(url).send().await.map_err(|error| with_causes(&error))?;
    if !answer.status().is_success() {
        return Err(format!("it answers {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| with_causes(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST {
            break;
        }
    }
    bytes.truncate(LONGEST);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read(url: &str, text: &str) -> Result<Ipv4Addr, OwnAddressError> {
    let address = text.trim().parse::<Ipv4Addr>().ok().filter(|it| is_public(*it));
    let answer = || text.trim().chars().take(LONGEST).collect();
    address.ok_or_else(|| OwnAddressError::Useless { url: url.to_owned(), answer: answer() })
}

/// Whether the internet can see it: a rule for any other address would be for nobody, or for the wrong ones.
fn is_public(address: Ipv4Addr) -> bool {
    let shared = address.octets()[0] == 100 && (64..128).contains(&address.octets()[1]);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || shared)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// What one answer of a server on this machine comes to, and what it was asked.
    async fn answered(answer: &str) -> (Result<Ipv4Addr, OwnAddressError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = answer.to_owned();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 2048];
            let length = stream.read(&mut asked).await.unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let read = Service(Some(url)).ask().await;
        (read, served.await.unwrap())
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    #[test]
    fn an_endpoint_is_on_this_machine_by_its_host_alone() {
        for near in ["http://127.0.0.1:4566", "https://127.9.9.9", "http://localhost:4566/x", "http://[::1]:4566"] {
            assert!(is_on_this_machine(near), "{near}");
        }
        for far in ["http://192.168.0.7:4566", "https://localhost.example.org", "https://ecs.amazonaws.com", ""] {
            assert!(!is_on_this_machine(far), "{far}");
        }
    }

    #[tokio::test]
    async fn the_address_that_is_answered_is_taken_and_nothing_is_told() {
        let (read, asked) = answered(&ok("203.0.113.7\n")).await;
        assert_eq!(read, Ok(Ipv4Addr::new(203, 0, 113, 7)));
        assert!(asked.starts_with("GET / HTTP/1.1\r\n"), "{asked}");
        let told = asked.to_lowercase();
        assert!(!told.contains("authorization") && !told.contains("cookie") && !told.contains("labguard"), "{asked}");
    }

    #[tokio::test]
    async fn whatever_is_no_public_address_is_refused_with_what_it_was() {
        for body in
            ["10.0.0.1", "127.0.0.1", "100.64.3.4", "0.0.0.0", "0.0.0.0/0", "::1", "<html>", "", "1.2.3.4 5.6.7.8"]
        {
            let (read, _) = answered(&ok(body)).await;
            assert!(matches!(read, Err(OwnAddressError::Useless { .. })), "{body}: {read:?}");
        }
        let (read, _) = answered(&ok(&"9".repeat(100_000))).await;
        let text = read.unwrap_err().to_string();
        assert!(text.contains("no public IPv4 address") && text.len() < 200, "{text}");
    }

    #[tokio::test]
    async fn who_does_not_answer_well_is_named_with_the_reason() {
        let (read, _) =
            answered("HTTP/1.1 302 Found\r\nlocation: http://203.0.113.1/\r\ncontent-length: 0\r\n\r\n").await;
        assert!(read.unwrap_err().to_string().contains("it answers 302"));
        let read = Service(Some("http://127.0.0.1:1".to_owned())).ask().await;
        assert!(
            matches!(&read, Err(OwnAddressError::Unreachable { url, .. }) if url == "http://127.0.0.1:1"),
            "{read:?}"
        );
        let unset = Service(None).ask().await.unwrap_err();
        assert!(unset.to_string().contains("aws.own_address_url"));
        assert_eq!(Fixed(Ipv4Addr::LOCALHOST).ask().await, Ok(Ipv4Addr::LOCALHOST));
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_answers_is_waited_for_five_seconds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let began = tokio::time::Instant::now();
        let read = Service(Some(url)).ask().await.unwrap_err();
        assert!(read.to_string().contains("no answer within 5 s"), "{read}");
        assert!(began.elapsed() < Duration::from_secs(6));
    }
}
