//! The sentinel's settings: read from the environment once, all or nothing.
//!
//! Fails closed: whatever is missing or garbled ends the program, and with it the task, before anything is guarded by a
//! rule that nobody gave. A guard that stands there without its rules would be worse than none.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::domain::model::{
    range::{Range, Whose},
    sentinel as words,
};

/// Most guarded ports.
pub const MOST_PORTS: usize = 32;
/// Longest lease and idle time, in seconds: a year. More is a slip, and would overflow nothing but the reader's trust.
pub const LONGEST: u64 = 366 * 86_400;

/// What the sentinel guards, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The session it belongs to.
    pub session: String,
    /// The session's ed25519 public key.
    pub key: [u8; 32],
    /// The hard end, in milliseconds since 1970-01-01 UTC.
    pub deadline: u64,
    /// The launch lease in milliseconds.
    pub lease: u64,
    /// The lease until the first renewal in milliseconds, where that is shorter.
    pub first_lease: Option<u64>,
    /// The idle time at launch in milliseconds.
    pub idle: Option<u64>,
    /// Where it answers.
    pub listen: SocketAddr,
    /// The guarded ports.
    pub ports: Vec<u16>,
    /// Only sockets of this local address count.
    pub address: Option<IpAddr>,
    /// Whose connections are use.
    pub whose: Whose,
    /// Where ECS tells the task's own metadata, if it does.
    pub metadata: Option<String>,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbled {
    /// The variable.
    pub name: &'static str,
    /// Its value; `None` when it is not set.
    pub value: Option<String>,
    /// What was expected.
    pub expected: &'static str,
}

impl fmt::Display for Garbled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            // Debug: one line, whatever is in it; cut, because logs cost.
            Some(value) => {
                let shown: String = value.chars().take(100).collect();
                write!(f, "{} is {shown:?}, expected {}", self.name, self.expected)
            }
            None => write!(f, "{} is not set, expected {}", self.name, self.expected),
        }
    }
}

impl Settings {
    /// Reads them through `get`, which gives a variable's value.
    ///
    /// # Errors
    /// The first [`Garbled`] one.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Garbled> {
        let seconds = |text: &str| words::number(text).filter(|secs| (1..=LONGEST).contains(secs)).map(|it| it * 1000);
        Ok(Self {
            session: needed(&get, words::SESSION, "1 to 128 of A-Z a-z 0-9 - _ .", |text| {
                words::is_session(text).then(|| text.to_owned())
            })?,
            key: needed(&get, words::KEY, "an ed25519 public key of 64 hexadecimal digits", words::unhex::<32>)?,
            deadline: needed(&get, words::DEADLINE, "seconds since 1970-01-01 UTC", |text| {
                words::number(text).filter(|secs| (1..=253_402_300_799).contains(secs)).map(|secs| secs * 1000)
            })?,
            lease: needed(&get, words::LEASE, "seconds, from 1 to a year", seconds)?,
            first_lease: optional(&get, words::FIRST_LEASE, "seconds, from 1 to a year, or not set", seconds)?,
            idle: optional(&get, words::IDLE, "seconds, from 1 to a year, or not set", seconds)?,
            listen: needed(&get, words::LISTEN, "an IP address and a port, as 0.0.0.0:7300", |text| {
                text.parse().ok().filter(|address: &SocketAddr| address.port() != 0)
            })?,
            ports: needed(&get, words::PORTS, "1 to 32 ports with commas, as 5000,8080", ports)?,
            address: optional(&get, words::ADDRESS, "an IP address, or not set", |text| text.parse().ok())?,
            whose: Whose {
                allowed: optional(&get, words::ALLOWED, RANGES, ranges)?.unwrap_or_default(),
                ignored: optional(&get, words::IGNORED, RANGES, ranges)?.unwrap_or_default(),
            },
            metadata: optional(&get, words::METADATA, "an http address, or not set", |text| {
                text.starts_with("http://").then(|| text.to_owned())
            })?,
        })
    }
}

const RANGES: &str = "1 to 256 ranges with commas, as 10.0.0.0/8,2001:db8::/32, or not set";

fn ranges(text: &str) -> Option<Vec<Range>> {
    let ranges: Option<Vec<Range>> = text.split(',').map(|range| range.parse().ok()).collect();
    ranges.filter(|it| it.len() <= words::MOST_RANGES)
}

fn ports(text: &str) -> Option<Vec<u16>> {
    let ports: Option<Vec<u16>> = text
        .split(',')
        .map(|port| words::number(port).and_then(|it| u16::try_from(it).ok()).filter(|it| *it != 0))
        .collect();
    ports.filter(|it| it.len() <= MOST_PORTS)
}

fn needed<T>(
    get: &impl Fn(&str) -> Option<String>,
    name: &'static str,
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, Garbled> {
    optional(get, name, expected, read)?.ok_or(Garbled { name, value: None, expected })
}

fn optional<T>(
    get: &impl Fn(&str) -> Option<String>,
    name: &'static str,
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Garbled> {
    let Some(value) = get(name) else { return Ok(None) };
    match read(&value) {
        Some(read) => Ok(Some(read)),
        None => Err(Garbled { name, value: Some(value), expected }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn good() -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            (words::SESSION, "lab-7k2m9q".to_owned()),
            (words::KEY, "ab".repeat(32)),
            (words::DEADLINE, "1795400000".to_owned()),
            (words::LEASE, "300".to_owned()),
            (words::LISTEN, "0.0.0.0:7300".to_owned()),
            (words::PORTS, "5000,8080".to_owned()),
        ])
    }

    fn read(values: &BTreeMap<&'static str, String>) -> Result<Settings, Garbled> {
        Settings::read(|name| values.get(name).cloned())
    }

    #[test]
    fn what_is_set_is_read() {
        let settings = read(&good()).unwrap();
        assert_eq!((settings.deadline, settings.lease, settings.idle), (1_795_400_000_000, 300_000, None));
        assert_eq!(settings.ports, [5000, 8080]);
        let mut more = good();
        more.extend([(words::IDLE, "900".into()), (words::ADDRESS, "127.1.2.3".into())]);
        more.extend([(words::METADATA, "http://169.254.170.2/v4/x".into()), (words::LISTEN, "[::]:7300".into())]);
        let settings = read(&more).unwrap();
        assert_eq!((settings.idle, settings.address), (Some(900_000), Some("127.1.2.3".parse().unwrap())));
        assert!(settings.whose.is_everybody() && settings.first_lease.is_none());
        more.insert(words::FIRST_LEASE, "50".into());
        assert_eq!(read(&more).unwrap().first_lease, Some(50_000));
        more.extend([(words::ALLOWED, "10.0.0.0/8,2001:db8::/32".into()), (words::IGNORED, "10.0.0.7/32".into())]);
        let whose = read(&more).unwrap().whose;
        let counts = ["10.1.2.3", "2001:db8::1", "10.0.0.7", "192.0.2.1"].map(|ip| whose.counts(ip.parse().unwrap()));
        assert_eq!(counts, [true, true, false, false]);
    }

    #[test]
    fn every_needed_one_is_missed_by_name() {
        for name in good().keys() {
            let mut values = good();
            values.remove(name);
            let garbled = read(&values).unwrap_err();
            assert_eq!((garbled.name, &garbled.value), (*name, &None));
            assert!(garbled.to_string().starts_with(&format!("{name} is not set, expected ")), "{garbled}");
        }
    }

    #[test]
    fn a_garbled_one_is_named_with_its_value_and_what_was_expected() {
        for (name, values) in [
            (words::SESSION, &["", "a b", "a\nb"][..]),
            (words::KEY, &["", "ab", "AB", "zz"]),
            (words::DEADLINE, &["", "0", "-5", "soon", "1e9", "99999999999999999999", "1795400000.5", " 1795400000"]),
            (words::LEASE, &["", "0", "-1", "5m", "1000000000"]),
            (words::FIRST_LEASE, &["", "0", "none"]),
            (words::IDLE, &["", "0", "none"]),
            (words::LISTEN, &["", "7300", "0.0.0.0", "0.0.0.0:0", "localhost:7300"]),
            (words::PORTS, &["", "0", "5000,", "5000 8080", "70000"]),
            (words::ADDRESS, &["", "localhost"]),
            (words::METADATA, &["", "169.254.170.2"]),
            (words::ALLOWED, &["", "10.0.0.1", "10.0.0.1/8", "10.0.0.0/8,", "10.0.0.0/8 ::/0"]),
            (words::IGNORED, &["", "everybody", "::/129"]),
        ] {
            for value in values {
                let mut settings = good();
                settings.insert(name, (*value).to_owned());
                let garbled = read(&settings).unwrap_err();
                assert_eq!((garbled.name, garbled.value.as_deref()), (name, Some(*value)));
                assert_eq!(garbled.to_string().lines().count(), 1, "{garbled}");
            }
        }
        let garbled = read(&BTreeMap::from([(words::SESSION, "a b".to_owned())])).unwrap_err();
        assert_eq!(garbled.to_string(), "LABGUARD_SENTINEL_SESSION is \"a b\", expected 1 to 128 of A-Z a-z 0-9 - _ .");
    }
}
