//! What ECS's metadata endpoint, version 4, says of the whole task: CPU time, and bytes over its network.
//!
//! `GET ${ECS_CONTAINER_METADATA_URI_V4}/task/stats` answers with what Docker's `stats` says of every container, by id; a
//! container that has just begun is `null`. CPU times add up; the network is one, so the largest count is taken.
//!
//! Guarantees: at most [`MOST`] bytes are read, in [`PATIENCE`]; a text that is no JSON, or nested deeper than [`DEEPEST`],
//! is `None`. What is missing is never zero.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use super::core::TaskUse;

/// Most bytes of an answer: ten containers' stats are about 60 KB.
const MOST: u64 = 256 * 1024;
/// Longest wait for each part of an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Deepest nesting that is read.
const DEEPEST: usize = 16;

/// Asks the endpoint at `address` (`http://169.254.170.2/v4/…`).
#[must_use]
pub fn ask(address: &str) -> Option<TaskUse> {
    let (host, path) = address.strip_prefix("http://")?.split_once('/')?;
    let target = host.parse().ok().or_else(|| Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, 80)))?;
    // HTTP/1.0: the answer is not cut into chunks.
    let request = format!("GET /{}/task/stats HTTP/1.0\r\nhost: {host}\r\n\r\n", path.trim_end_matches('/'));
    let answer = exchange(target, &request).ok()?;
    let text = String::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    if head.split(' ').nth(1) != Some("200") {
        return None;
    }
    read(body)
}

/// Sends `request` and reads the answer to its end.
///
/// # Errors
/// When there is no connection, or no answer in time.
pub fn exchange(target: SocketAddr, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Reads an answer's body.
#[must_use]
pub fn read(body: &str) -> Option<TaskUse> {
    let mut walk = Walk { rest: body, path: Vec::new(), found: TaskUse::default(), device: (0, 0), devices: 0 };
    walk.value()?;
    walk.space();
    walk.rest.is_empty().then_some(walk.found)
}

/// Walks through JSON and notes the numbers that count; keeps nothing else.
struct Walk<'a> {
    rest: &'a str,
    /// Names from the outermost object inwards.
    path: Vec<&'a str>,
    found: TaskUse,
    /// Sums over the present container's devices.
    device: (u64, u64),
    devices: u64,
}

impl<'a> Walk<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn takes(&mut self, what: char) -> bool {
        self.space();
        self.rest.strip_prefix(what).is_some_and(|rest| {
            self.rest = rest;
            true
        })
    }

    fn value(&mut self) -> Option<()> {
        self.space();
        match self.rest.chars().next()? {
            '{' => self.members(),
            '[' => self.items(),
            '"' => self.text().map(|_| ()),
            _ => {
                let end = self.rest.find([',', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                if let Ok(number) = word.parse() {
                    self.number(number);
                    return Some(());
                }
                (matches!(word, "null" | "true" | "false") || word.parse::<f64>().is_ok()).then_some(())
            }
        }
    }

    fn text(&mut self) -> Option<&'a str> {
        let body = self.rest.strip_prefix('"')?;
        let mut escaped = false;
        let end = body.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        self.rest = &body[end + 1..];
        Some(&body[..end])
    }

    fn members(&mut self) -> Option<()> {
        if self.path.len() >= DEEPEST || !self.takes('{') {
            return None;
        }
        if self.takes('}') {
            return Some(());
        }
        loop {
            self.space();
            let name = self.text()?;
            if !self.takes(':') {
                return None;
            }
            self.path.push(name);
            self.value()?;
            if let [_, "networks"] = self.path[..] {
                self.network();
            }
            self.path.pop();
            if self.takes('}') {
                return Some(());
            }
            if !self.takes(',') {
                return None;
            }
        }
    }

    fn items(&mut self) -> Option<()> {
        if self.path.len() >= DEEPEST || !self.takes('[') {
            return None;
        }
        if self.takes(']') {
            return Some(());
        }
        self.path.push("");
        loop {
            self.value()?;
            if self.takes(']') {
                self.path.pop();
                return Some(());
            }
            if !self.takes(',') {
                return None;
            }
        }
    }

    fn number(&mut self, number: u64) {
        match self.path[..] {
            [_, "cpu_stats", "cpu_usage", "total_usage"] => {
                self.found.cpu_ns = Some(self.found.cpu_ns.unwrap_or(0).saturating_add(number));
            }
            [_, "networks", _, "rx_bytes"] => {
                self.device.0 = self.device.0.saturating_add(number);
                self.devices += 1;
            }
            [_, "networks", _, "tx_bytes"] => self.device.1 = self.device.1.saturating_add(number),
            _ => {}
        }
    }

    fn network(&mut self) {
        if self.devices > 0 {
            self.found.bytes_in = self.found.bytes_in.max(Some(self.device.0));
            self.found.bytes_out = self.found.bytes_out.max(Some(self.device.1));
        }
        (self.device, self.devices) = ((0, 0), 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATS: &str = r#"{"a1": {"read": "2026-01-01T00:00:00Z", "name": "a \"quoted\" {name",
        "precpu_stats": {"cpu_usage": {"total_usage": 5}},
        "cpu_stats": {"cpu_usage": {"total_usage": 1000, "percpu_usage": [600, 400]}, "online_cpus": 2},
        "networks": {"eth1": {"rx_bytes": 70, "tx_bytes": 30}, "eth2": {"rx_bytes": 7, "tx_bytes": 3}},
        "network_rate_stats": {"rx_bytes_per_sec": 1.5, "tx_bytes_per_sec": -0.5e1}},
        "b2": {"cpu_stats": {"cpu_usage": {"total_usage": 234}}, "networks": {"eth1": {"rx_bytes": 77, "tx_bytes": 33}}},
        "c3": null}"#;

    #[test]
    fn processors_add_up_and_the_network_is_one() {
        let all = TaskUse { cpu_ns: Some(1234), bytes_in: Some(77), bytes_out: Some(33) };
        assert_eq!(read(STATS), Some(all));
        assert_eq!(read(r#"{"a": null}"#), Some(TaskUse::default()), "missing is not zero");
        assert_eq!(read("{}"), Some(TaskUse::default()));
    }

    #[test]
    fn what_is_no_json_is_nothing() {
        let deep = "[".repeat(10_000);
        for text in ["", "{", "nonsense", "{\"a\"}", "{\"a\":1,}x", "{} {}", &deep, "{\"a\": \"\\\"}"] {
            assert_eq!(read(text), None, "{text}");
        }
        for end in 1..STATS.len() {
            assert_eq!(read(&STATS[..end]), None, "{end}");
        }
    }

    #[test]
    fn an_endpoint_is_asked_as_ecs_documents_it_and_its_silence_is_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v4/abc-1", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).unwrap();
            write!(stream, "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{STATS}").unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        assert_eq!(ask(&address).and_then(|it| it.cpu_ns), Some(1234));
        assert!(server.join().unwrap().starts_with("GET /v4/abc-1/task/stats HTTP/1.0\r\n"));
        assert_eq!(ask(&address), None, "nobody listens any more");
        assert_eq!(ask("http://metadata.example/v4"), None, "names are not looked up");
    }

    proptest! {
        #[test]
        fn no_text_brings_the_walk_down(text: String, json in r#"([\[\]{}:,"\\ ]|"a"|12|-1\.5|null|networks){0,40}"#) {
            let _ = (read(&text), read(&json));
        }
    }
}
