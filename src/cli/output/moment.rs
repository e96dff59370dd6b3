//! Times and spans for reading: local time with its zone, and in how long.

use std::{fs, path::Path};

use chrono::TimeZone as _;
use chrono_tz::Tz;

use crate::domain::model::{Span, Timestamp};

/// The zone times are shown in.
#[derive(Clone, Copy, Debug)]
pub struct Zone(Tz);

impl Zone {
    /// Greenwich.
    pub const UTC: Zone = Zone(Tz::UTC);

    /// This machine's: `TZ`, then `/etc/localtime`, then `/etc/timezone`; UTC when none names one.
    #[must_use]
    pub fn local() -> Self {
        let named = |name: &str| name.trim().trim_start_matches(':').parse::<Tz>().ok();
        let variable = std::env::var("TZ").ok().filter(|name| !name.is_empty());
        if let Some(name) = variable {
            return Zone(named(&name).unwrap_or(Tz::UTC));
        }
        let linked = fs::read_link(Path::new("/etc/localtime")).ok();
        let linked = linked.as_deref().and_then(Path::to_str).and_then(|path| path.split_once("zoneinfo/"));
        let zone = linked
            .and_then(|(_, name)| named(name))
            .or_else(|| fs::read_to_string("/etc/timezone").ok().and_then(|name| named(&name)));
        Zone(zone.unwrap_or(Tz::UTC))
    }

    /// The exact time, with the date only where it is not that of `now`: `14:08:00 UTC`.
    #[must_use]
    pub fn clock(self, at: Timestamp, now: Timestamp) -> String {
        let at = self.0.from_utc_datetime(&at.to_chrono().naive_utc());
        let now = self.0.from_utc_datetime(&now.to_chrono().naive_utc());
        let format = if at.date_naive() == now.date_naive() { "%H:%M:%S %Z" } else { "%Y-%m-%d %H:%M:%S %Z" };
        at.format(format).to_string()
    }

    /// A sentence of the engine with its times as [`Zone::clock`] writes them: `idle since 14:00:00 UTC`.
    #[must_use]
    pub fn told(self, text: &str, now: Timestamp) -> String {
        let mut told = String::with_capacity(text.len());
        for (index, word) in text.split(' ').enumerate() {
            if index > 0 {
                told.push(' ');
            }
            let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let time = (bare.len() >= 20 && bare.ends_with('Z')).then(|| bare.parse::<Timestamp>().ok()).flatten();
            match time {
                Some(at) => told.push_str(&word.replacen(bare, &self.clock(at, now), 1)),
                None => told.push_str(word),
            }
        }
        told
    }

    /// The exact time and how far away it is: `14:08:00 UTC (in 8m)`.
    #[must_use]
    pub fn away(self, at: Timestamp, now: Timestamp) -> String {
        let clock = self.clock(at, now);
        if at > now {
            format!("{clock} (in {})", short(at.since(now)))
        } else {
            format!("{clock} ({} ago)", short(now.since(at)))
        }
    }
}

/// The two largest units: `1h 30m`, `8m 3s`, `12s`, `350ms`.
#[must_use]
pub fn short(span: Span) -> String {
    let seconds = span.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit} {small}{small_unit}") }
    };
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// Seconds with one decimal, for steps: `1.2 s`.
#[must_use]
pub fn tenths(span: Span) -> String {
    let tenths = span.as_millis().div_ceil(100);
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_and_say_how_far_away_they_are() {
        let now: Timestamp = "2026-11-22T23:50:00Z".parse().unwrap();
        assert_eq!(Zone::UTC.away(now + Span::from_mins(8), now), "23:58:00 UTC (in 8m)");
        assert_eq!(Zone::UTC.away(now + Span::from_mins(90), now), "2026-11-23 01:20:00 UTC (in 1h 30m)");
        assert_eq!(Zone::UTC.away(now - Span::from_secs(5), now), "23:49:55 UTC (5s ago)");
        assert_eq!(Zone(Tz::Europe__Berlin).clock(now, now), "00:50:00 CET");
    }

    #[test]
    fn times_inside_a_sentence_become_local_and_everything_else_stays() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let text =
            "idle since 2026-11-22T11:50:28.640Z with 20s allowed (last use 2026-11-22T11:50:28Z: 1 request); Z 20m";
        let told = "idle since 11:50:28 UTC with 20s allowed (last use 11:50:28 UTC: 1 request); Z 20m";
        assert_eq!(Zone::UTC.told(text, now), told);
        assert_eq!(Zone(Tz::Europe__Berlin).told("ends 2026-11-22T12:00:00Z", now), "ends 13:00:00 CET");
        assert_eq!(Zone::UTC.told("nothing  here ", now), "nothing  here ");
    }

    #[test]
    fn spans_are_short() {
        for (seconds, text) in [(0, "0ms"), (59, "59s"), (60, "1m"), (61, "1m 1s"), (5400, "1h 30m"), (90_000, "1d 1h")]
        {
            assert_eq!(short(Span::from_secs(seconds)), text);
        }
        assert_eq!(tenths(Span::from_millis(1234)), "1.3 s");
    }
}
