//! Ranges of addresses, and whose use counts by them.
//!
//! It needs `std` alone: the sentinel's own program takes this file in, too (docs/sentinel.md). Guarantee: an IPv4 address
//! that is written as IPv6 is in the ranges of its IPv4 form. It must never say of what has no address whose it is: that is
//! for who asks.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// An IPv4 or IPv6 range: `203.0.113.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    first: IpAddr,
    bits: u8,
}

impl Range {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.first, ip.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(ip)) => (u32::from(first) ^ u32::from(ip)).leading_zeros() >= bits,
            (IpAddr::V6(first), IpAddr::V6(ip)) => (u128::from(first) ^ u128::from(ip)).leading_zeros() >= bits,
            _ => false,
        }
    }
}

impl FromStr for Range {
    type Err = ();

    /// Reads `ADDRESS/BITS` without host bits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').ok_or(())?;
        let plain = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u8 = if plain { bits.parse().map_err(drop)? } else { return Err(()) };
        let first: IpAddr = address.parse().map_err(drop)?;
        let clean = match first {
            IpAddr::V4(ip) => bits <= 32 && u32::from(ip) & u32::MAX.checked_shr(bits.into()).unwrap_or(0) == 0,
            IpAddr::V6(ip) => bits <= 128 && u128::from(ip) & u128::MAX.checked_shr(bits.into()).unwrap_or(0) == 0,
        };
        if clean { Ok(Self { first, bits }) } else { Err(()) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Whose use counts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Whose {
    /// Only theirs; empty: everybody's.
    pub allowed: Vec<Range>,
    /// Not theirs, even where they are allowed.
    pub ignored: Vec<Range>,
}

impl Whose {
    /// Whether everybody's use counts, so that no address has to be known.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        self.allowed.is_empty() && self.ignored.is_empty()
    }

    /// Whether the use of that address counts.
    #[must_use]
    pub fn counts(&self, ip: IpAddr) -> bool {
        let within = |ranges: &[Range]| ranges.iter().any(|range| range.contains(ip));
        (self.allowed.is_empty() || within(&self.allowed)) && !within(&self.ignored)
    }
}

/// The address in a word: `203.0.113.7`, `203.0.113.7:4321`, `2001:db8::1`, `[2001:db8::1]:80`.
#[must_use]
pub fn address(word: &str) -> Option<IpAddr> {
    let word = word.trim();
    let bare = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(word);
    bare.parse().ok().or_else(|| word.parse::<SocketAddr>().ok().map(|it| it.ip())).map(|ip: IpAddr| ip.to_canonical())
}

/// The first address in a line, which is the client's in the usual formats of access logs.
#[must_use]
pub fn first_address(line: &str) -> Option<IpAddr> {
    // Words are cut where no address goes on; a part of a word is none (`labguard::cloud`, `Chrome/120.0.0.0`).
    let apart = |c: char| c.is_whitespace() || "\"'()<>{},;=|".contains(c);
    line.split(apart).map(|word| word.trim_end_matches([':', '.'])).filter(|word| word.len() > 2).find_map(|word| {
        // `::` and its like stand in program texts; the shortest address that anybody comes from is longer.
        address(word).filter(|ip| !ip.is_unspecified())
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ranges(texts: &[&str]) -> Vec<Range> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        for (range, inside, outside) in [
            ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
            ("203.0.113.7/32", "203.0.113.7", "203.0.113.6"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "2001:db8::1", "1.2.3.4"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            ("::1/128", "::1", "::2"),
        ] {
            let read: Range = range.parse().unwrap();
            assert!(read.contains(ip(inside)), "{inside} in {range}");
            assert!(!read.contains(ip(outside)), "{outside} in {range}");
            assert_eq!(read.to_string(), range);
        }
        for bad in ["10.0.0.1/8", "1.2.3.4", "1.2.3.4/33", "::/129", "1.2.3.4/+8", "1.2.3.4/", "x/8", "2001:db8::1/32"]
        {
            assert_eq!(bad.parse::<Range>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn what_is_ignored_is_so_even_where_it_is_allowed_and_nothing_given_is_everybody() {
        assert!(Whose::default().is_everybody() && Whose::default().counts(ip("8.8.8.8")));
        let campus =
            Whose { allowed: ranges(&["198.51.100.0/24", "2001:db8::/32"]), ignored: ranges(&["198.51.100.9/32"]) };
        assert!(!campus.is_everybody());
        for (who, counts) in [
            ("198.51.100.1", true),
            ("198.51.100.9", false),
            ("::ffff:198.51.100.9", false),
            ("203.0.113.1", false),
            ("2001:db8::7", true),
        ] {
            assert_eq!(campus.counts(ip(who)), counts, "{who}");
        }
        let but_scanners = Whose { ignored: ranges(&["192.0.2.0/24"]), ..Whose::default() };
        assert!(but_scanners.counts(ip("203.0.113.1")) && !but_scanners.counts(ip("192.0.2.200")));
    }

    #[test]
    fn the_first_address_of_a_line_is_found_and_what_only_looks_like_one_is_not() {
        for (line, found) in [
            ("203.0.113.7 - - [09/Oct/2026:13:55:36 +0000] \"GET / HTTP/1.1\" 200 2326", Some("203.0.113.7")),
            ("INFO:     203.0.113.7:51234 - \"POST /predict HTTP/1.1\" 200 OK", Some("203.0.113.7")),
            ("{\"client\":\"2001:db8::7\",\"server\":\"10.0.0.2\"}", Some("2001:db8::7")),
            ("client=[2001:db8::7]:443 path=/", Some("2001:db8::7")),
            ("peer ::ffff:203.0.113.7 asked", Some("203.0.113.7")),
            ("from 203.0.113.7, via 198.51.100.1", Some("203.0.113.7")),
            ("2026-11-24T12:34:56Z labguard::cloud done at 12:34:56", None),
            ("Mozilla/5.0 Chrome/120.0.0.0 listening on 0.0.0.0 and ::", None),
            ("", None),
        ] {
            assert_eq!(first_address(line), found.map(ip), "{line}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_in_every_range_that_is_cut_from_it(v4: u32, v6: u128, bits in 0u8..=128) {
            let four = bits.min(32);
            let cut = u32::MAX.checked_shl(u32::from(32 - four)).unwrap_or(0);
            let range = format!("{}/{four}", Ipv4Addr::from(v4 & cut)).parse::<Range>().unwrap();
            prop_assert!(range.contains(IpAddr::V4(v4.into())));
            let cut = u128::MAX.checked_shl(u32::from(128 - bits)).unwrap_or(0);
            let range = format!("{}/{bits}", Ipv6Addr::from(v6 & cut)).parse::<Range>().unwrap();
            let other = IpAddr::V6(v6.into()).to_canonical();
            prop_assert!(other.is_ipv4() || range.contains(other));
            if four > 0 {
                let beside = Ipv4Addr::from(v4 ^ (1 << (32 - u32::from(four))));
                let range = format!("{}/{four}", Ipv4Addr::from(v4 & u32::MAX.checked_shl(u32::from(32 - four)).unwrap_or(0)));
                prop_assert!(!range.parse::<Range>().unwrap().contains(IpAddr::V4(beside)));
            }
        }

        #[test]
        fn no_text_brings_the_readers_down(text: String) {
            let _ = (text.parse::<Range>(), address(&text), first_address(&text));
        }
    }
}
