//! The sentinel's clock boundary: the only place where it reads the machine's time.
//!
//! A boundary of its own, because the sentinel is a program of its own that holds `std` and ring alone; labguard's clock
//! brings a runtime along. Everything else in here is handed [`Clocks`], so that tests and simulations move both.

use std::time::{Instant, SystemTime};

/// Two clocks read together. One can be set by anybody, the other only goes on: neither is trusted alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Clocks {
    /// Milliseconds that only go forward, from any beginning.
    pub mono: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub wall: u64,
}

/// The machine's own.
#[derive(Clone, Copy, Debug)]
pub struct Machine(Instant);

impl Machine {
    /// Begins to count now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the sentinel's clock boundary")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Both clocks.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the sentinel's clock boundary")]
    pub fn now(&self) -> Clocks {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = |it: std::time::Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        Clocks { mono: millis(self.0.elapsed()), wall: millis(wall) }
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}
