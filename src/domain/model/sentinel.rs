//! The words between labguard and its sentinel: names of settings, exit codes, and the texts that are signed.
//!
//! Both sides use this file: the decision layer sets the variables, the client signs, the sentinel reads and checks. It
//! needs `std` alone, because the sentinel's own program holds nothing else (docs/sentinel.md).
//!
//! Guarantees: a text that is parsed is written again to the same bytes, so that what was signed has one meaning only.
//! Lengths of time are relative: no clock of labguard's machine goes into the task.

use std::fmt::Write as _;

/// The session's name, as it is signed: see [`is_session`].
pub const SESSION: &str = "LABGUARD_SENTINEL_SESSION";
/// The session's ed25519 public key, 64 hexadecimal digits. Public: it shows in DescribeTaskDefinition.
pub const KEY: &str = "LABGUARD_SENTINEL_KEY";
/// The hard end, in seconds since 1970-01-01 UTC. Nothing moves it.
pub const DEADLINE: &str = "LABGUARD_SENTINEL_DEADLINE";
/// How many seconds without a renewal the task may live. A renewal never gives more.
pub const LEASE: &str = "LABGUARD_SENTINEL_LEASE";
/// Optional: how many seconds it may live until the first renewal, where that is less.
pub const FIRST_LEASE: &str = "LABGUARD_SENTINEL_FIRST_LEASE";
/// Optional: after how many seconds without use the sentinel ends the task by itself.
pub const IDLE: &str = "LABGUARD_SENTINEL_IDLE";
/// The socket address on which the sentinel answers: `0.0.0.0:7300`, `[::]:7300`.
pub const LISTEN: &str = "LABGUARD_SENTINEL_LISTEN";
/// The guarded ports, with commas: `5000,8080`.
pub const PORTS: &str = "LABGUARD_SENTINEL_PORTS";
/// Optional: only sockets of this local IP address count. For the sandbox, whose containers share the machine's
/// network namespace; on AWS a task has one of its own, and this stays unset.
pub const ADDRESS: &str = "LABGUARD_SENTINEL_ADDRESS";
/// Most ranges of one list.
pub const MOST_RANGES: usize = 256;
/// Optional: ranges of addresses whose connections are use, with commas; unset: everybody's.
pub const ALLOWED: &str = "LABGUARD_SENTINEL_ALLOWED";
/// Optional: ranges of addresses whose connections are nobody's use, with commas.
pub const IGNORED: &str = "LABGUARD_SENTINEL_IGNORED";
/// Set by ECS in every container on Fargate: where the task's own metadata is read, without a key.
pub const METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// The container's name in the task definition.
pub const CONTAINER: &str = "labguard-sentinel";
/// The image's tag in the session's repository.
pub const TAG: &str = "labguard-sentinel";

/// Where use is read: `GET`, with an `authorization` header (see [`authorization`]).
pub const USE_PATH: &str = "/v1/use";
/// Where a lease is renewed: `POST`, the body is a renewal's text and its signature (see [`Renewal::sealed`]).
pub const RENEWAL_PATH: &str = "/v1/renewal";
/// Whether the sentinel runs: `GET`, for everybody.
pub const HEALTH_PATH: &str = "/healthz";
/// First word of the `authorization` header.
pub const SCHEME: &str = "labguard-sentinel";
/// Largest serial: what a JSON number holds exactly.
pub const LAST_SERIAL: u64 = (1 << 53) - 1;
/// Longest name of a session.
pub const SESSION_LIMIT: usize = 128;

/// What sentinels of before exited with at each of their ends.
pub const EXIT_ENDED: u8 = 0;
/// It ended the task: the hard deadline had come.
pub const EXIT_DEADLINE: u8 = 80;
/// It ended the task: nobody renewed its lease.
pub const EXIT_LEASE: u8 = 81;
/// It ended the task: nobody used it.
pub const EXIT_IDLE: u8 = 82;
/// A setting is missing or garbled; nothing ran.
pub const EXIT_SETTINGS: u8 = 64;
/// It could not listen on its address.
pub const EXIT_LISTEN: u8 = 69;

/// Which end came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The hard deadline.
    Deadline,
    /// No renewal within the lease.
    Lease,
    /// No use within the idle time.
    Idle,
}

impl End {
    /// Every end, the hardest first.
    pub const ALL: [End; 3] = [End::Deadline, End::Lease, End::Idle];

    /// One word, for the last line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            End::Deadline => "deadline",
            End::Lease => "lease",
            End::Idle => "idle",
        }
    }

    /// What the sentinel exits with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            End::Deadline => EXIT_DEADLINE,
            End::Lease => EXIT_LEASE,
            End::Idle => EXIT_IDLE,
        }
    }

    /// The end that a sentinel met which exited with that code.
    #[must_use]
    pub fn of_code(code: i32) -> Option<End> {
        End::ALL.into_iter().find(|end| i32::from(end.code()) == code)
    }
}

const RENEWAL_HEAD: &str = "labguard-sentinel/1 renewal\n";
const READ_HEAD: &str = "labguard-sentinel/1 read\n";
const KEY_HEAD: &str = "labguard-sentinel/1 key\n";

/// Whether `text` may name a session here: 1 to [`SESSION_LIMIT`] of `A-Z a-z 0-9 - _ .`.
#[must_use]
pub fn is_session(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=SESSION_LIMIT).contains(&text.len()) && text.bytes().all(legal)
}

/// What labguard asks of the sentinel: live on for so long from the moment you read this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The session it is meant for.
    pub session: String,
    /// Higher than every serial before, at most [`LAST_SERIAL`]. Milliseconds of the day make good ones.
    pub serial: u64,
    /// Seconds until the task ends without another renewal; 0 ends it now. More than the launch lease is cut to it.
    pub lease: u64,
    /// Seconds without use after which the sentinel ends the task; `None`: it does not.
    pub idle: Option<u64>,
    /// How many connections to guarded ports labguard itself has begun since the task started. Count before connecting.
    pub probes: u64,
}

impl Renewal {
    /// The text that is signed: one line for each field, always in this order.
    #[must_use]
    pub fn text(&self) -> String {
        let idle = self.idle.map_or_else(|| "none".to_owned(), |secs| secs.to_string());
        let Renewal { session, serial, lease, probes, .. } = self;
        format!("{RENEWAL_HEAD}session={session}\nserial={serial}\nlease={lease}\nidle={idle}\nprobes={probes}\n")
    }

    /// The body that is sent: the text, then the signature (of the text's bytes) in hexadecimal digits.
    #[must_use]
    pub fn sealed(&self, signature: &[u8]) -> String {
        format!("{}signature={}\n", self.text(), hex(signature))
    }

    /// Reads a body of [`Renewal::sealed`]: the renewal and its signature, which is not checked here.
    ///
    /// # Errors
    /// What is wrong with it. There is one way to write a renewal: spaces, signs, zeros in front, another order are none.
    pub fn unseal(body: &[u8]) -> Result<(Renewal, [u8; 64]), &'static str> {
        let text = std::str::from_utf8(body).map_err(|_| "the body is not text")?;
        let rest = text.strip_prefix(RENEWAL_HEAD).ok_or("the body does not begin as a renewal does")?;
        let mut lines = rest.split('\n');
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix('=');
        let session = field("session").filter(|it| is_session(it)).ok_or("no session in the renewal")?.to_owned();
        let serial = field("serial").and_then(number).ok_or("no serial in the renewal")?;
        let lease = field("lease").and_then(number).ok_or("no lease in the renewal")?;
        let idle = match field("idle").ok_or("no idle time in the renewal")? {
            "none" => None,
            secs => Some(number(secs).ok_or("no idle time in the renewal")?),
        };
        let probes = field("probes").and_then(number).ok_or("no count of probes in the renewal")?;
        let signature = field("signature").and_then(unhex::<64>).ok_or("no signature in the renewal")?;
        if lines.next() != Some("") || lines.next().is_some() {
            return Err("there is something after the renewal");
        }
        Ok((Renewal { session, serial, lease, idle, probes }, signature))
    }
}

/// The text that is signed to read use. `serial`: at least the last accepted renewal's.
#[must_use]
pub fn read_text(session: &str, serial: u64) -> String {
    format!("{READ_HEAD}session={session}\nserial={serial}\n")
}

/// The text from which the master secret makes a session's key.
#[must_use]
pub fn key_text(session: &str) -> String {
    format!("{KEY_HEAD}{session}")
}

/// The value of the `authorization` header: scheme, session, serial, signature of [`read_text`].
#[must_use]
pub fn authorization(session: &str, serial: u64, signature: &[u8]) -> String {
    format!("{SCHEME} {session} {serial} {}", hex(signature))
}

/// Reads a value of [`authorization`]: session, serial, and the signature, which is not checked here.
#[must_use]
pub fn read_authorization(value: &str) -> Option<(&str, u64, [u8; 64])> {
    let mut words = value.split(' ');
    let (scheme, session, serial, signature) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if scheme != SCHEME || !is_session(session) || words.next().is_some() {
        return None;
    }
    Some((session, number(serial)?, unhex::<64>(signature)?))
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads exactly `N` bytes of lower-case hexadecimal digits.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? * 16 + digit(pair[1])?;
    }
    Some(bytes)
}

/// Decimal digits without sign, space or zeros in front.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn renewal() -> Renewal {
        Renewal { session: "lab-7k2m9q".into(), serial: 7, lease: 300, idle: None, probes: 2 }
    }

    #[test]
    fn the_signed_text_is_what_the_document_says() {
        let signed = "labguard-sentinel/1 renewal\nsession=lab-7k2m9q\nserial=7\nlease=300\nidle=none\nprobes=2\n";
        assert_eq!(renewal().text(), signed);
        assert_eq!(read_text("lab-7k2m9q", 7), "labguard-sentinel/1 read\nsession=lab-7k2m9q\nserial=7\n");
        assert_eq!(Renewal::unseal(renewal().sealed(&[9; 64]).as_bytes()), Ok((renewal(), [9; 64])));
    }

    #[test]
    fn each_end_has_a_code_of_its_own_that_nothing_else_exits_with() {
        for end in End::ALL {
            assert_eq!(End::of_code(i32::from(end.code())), Some(end));
        }
        // Success, a plain failure, our own, a panic, and what signals leave.
        for code in [0, 1, 2, EXIT_SETTINGS.into(), EXIT_LISTEN.into(), 101, 137, 143] {
            assert_eq!(End::of_code(code), None, "{code}");
        }
    }

    #[test]
    fn a_renewal_written_in_any_other_way_is_none() {
        let good = renewal().sealed(&[0xab; 64]);
        for (from, to) in [
            ("serial=7", "serial=07"),
            ("serial=7", "serial=+7"),
            ("serial=7", "serial= 7"),
            ("serial=7", "serial=18446744073709551616"),
            ("serial=7\nlease=300", "lease=300\nserial=7"),
            ("idle=none", "idle=None"),
            ("idle=none", "idle="),
            ("lab-7k2m9q", ""),
            ("lab-7k2m9q", "lab 7"),
            ("sentinel/1", "sentinel/2"),
            ("\n", "\r\n"),
            ("signature=ab", "signature=AB"),
            ("signature=ab", "signature=a"),
            ("probes=2\n", "probes=2\nprobes=3\n"),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(Renewal::unseal(good.replacen(from, to, 1).as_bytes()).is_err(), "{from} -> {to}");
        }
        for body in [format!("{good}\n"), format!("{good}x"), good.trim_end().to_owned(), String::new()] {
            assert!(Renewal::unseal(body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(Renewal::unseal(&[0xff; 40]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_what_is_read_is_written_the_same(
            session in "[A-Za-z0-9._-]{1,128}", serial: u64, lease: u64, idle: Option<u64>, probes: u64, byte: u8,
        ) {
            let renewal = Renewal { session: session.clone(), serial, lease, idle, probes };
            let (again, signature) = Renewal::unseal(renewal.sealed(&[byte; 64]).as_bytes()).unwrap();
            prop_assert_eq!((&again, signature), (&renewal, [byte; 64]));
            let header = authorization(&session, serial, &[byte; 64]);
            prop_assert_eq!(read_authorization(&header), Some((session.as_str(), serial, [byte; 64])));
        }

        #[test]
        fn no_bytes_bring_the_reader_down_and_only_canonical_ones_pass(body: Vec<u8>, at in 0_usize..400, byte: u8) {
            let _ = Renewal::unseal(&body);
            let mut changed = Renewal { session: "a".into(), serial: 1, lease: 2, idle: Some(3), probes: 4 }
                .sealed(&[1; 64]).into_bytes();
            let at = at % changed.len();
            changed[at] = byte;
            if let Ok((renewal, signature)) = Renewal::unseal(&changed) {
                prop_assert_eq!(renewal.sealed(&signature).into_bytes(), changed);
            }
        }
    }
}
