//! As much HTTP/1.1 as a guard needs: one small request a connection, read strictly, answered whole.
//!
//! Guarantees: a request is at most [`LIMIT`] bytes; what is unclear (two lengths, chunks, folded lines) is refused, not
//! guessed. Pure: bytes in, meaning out.

use super::core::{Answer, Asked};

/// The largest request, head and body together, in bytes.
pub const LIMIT: usize = 4096;

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Not all of it is there.
    Partly,
    /// No request of ours: status and why.
    Bad(u16, &'static str),
    /// A whole one.
    Whole(Asked<'a>),
}

/// Reads the bytes that have come so far.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() < LIMIT { Parsed::Partly } else { Parsed::Bad(431, "the head is too long") };
    };
    let Ok(head) = std::str::from_utf8(&bytes[..end]) else { return Parsed::Bad(400, "the head is not text") };
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Parsed::Bad(400, "not an HTTP/1.1 request");
    };
    let (mut authorization, mut length) = (None, None);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Parsed::Bad(400, "a header without a colon") };
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("authorization") {
            if authorization.replace(value).is_some() {
                return Parsed::Bad(400, "two authorization headers");
            }
        } else if name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let Some(number) = value.parse::<usize>().ok().filter(|_| digits) else {
                return Parsed::Bad(400, "a length that is no number");
            };
            if length.replace(number).is_some() {
                return Parsed::Bad(400, "two lengths");
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Parsed::Bad(411, "a body needs a content-length");
        }
    }
    let (body, length) = (&bytes[end + 4..], length.unwrap_or(0));
    if length > LIMIT.saturating_sub(end + 4) {
        return Parsed::Bad(413, "the request is too large");
    }
    match body.len().cmp(&length) {
        std::cmp::Ordering::Less => Parsed::Partly,
        std::cmp::Ordering::Greater => Parsed::Bad(400, "more than one request on a connection"),
        std::cmp::Ordering::Equal => Parsed::Whole(Asked { method, path, authorization, body, peer: None }),
    }
}

/// An answer as bytes; the connection ends after it.
#[must_use]
pub fn bytes(answer: &Answer) -> Vec<u8> {
    let reason = match answer.status {
        200 => "OK",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        _ => "Refused",
    };
    let Answer { status, body } = answer;
    let length = body.len();
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The answer to bytes that are no request of ours.
#[must_use]
pub fn bad(status: u16, why: &str) -> Answer {
    Answer { status, body: format!("{{\"refused\":\"{why}\",\"last_serial\":null}}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_read_when_all_of_it_is_there() {
        let whole = b"POST /v1/renewal HTTP/1.1\r\nhost: x\r\nContent-Length: 3\r\nAuthorization:  a b \r\n\r\nxyz";
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), Parsed::Partly, "{end}");
        }
        let asked = Asked { method: "POST", path: "/v1/renewal", authorization: Some("a b"), body: b"xyz", peer: None };
        assert_eq!(parse(whole), Parsed::Whole(asked));
    }

    #[test]
    fn what_is_unclear_or_large_is_refused() {
        for (text, status) in [
            ("GET / HTTP/2\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nnonsense\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", 400),
            ("POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\nx", 400),
            ("POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\nx", 400),
            ("POST / HTTP/1.1\r\ncontent-length: 5000\r\n\r\nx", 413),
            ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 411),
            ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 400),
        ] {
            assert!(matches!(parse(text.as_bytes()), Parsed::Bad(found, _) if found == status), "{text:?}");
        }
        assert_eq!(parse(&[b'a'; LIMIT]), Parsed::Bad(431, "the head is too long"));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_reader_down(bytes: Vec<u8>, text in "[A-Z]{3,4} /[a-z]* HTTP/1.[01]\r\n(.{0,20}\r\n){0,5}") {
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
        }
    }
}
