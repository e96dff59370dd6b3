//! People who use the session of a world, and operators who meddle.

use labguard::{
    domain::{
        model::{Extension, Money, Request, SessionId, Span, Timestamp},
        policy::Policy,
    },
    reconcile::handle::Control,
    sandbox::runtime::Simulated,
};
use rand::{RngExt, rngs::SmallRng};

use super::lab::Lab;

/// People who use the session, and operators who meddle.
pub struct Users {
    /// When the last request is made.
    until: Span,
    began: Option<Timestamp>,
    meddle: bool,
    acts: usize,
}

impl Users {
    pub fn new(rng: &mut SmallRng, policy: &Policy) -> Self {
        let longest = policy.limits.max_lifetime.as_secs();
        Self {
            until: Span::from_secs(rng.random_range(0..longest)),
            began: None,
            meddle: rng.random_bool(0.4),
            acts: 0,
        }
    }

    pub async fn act(&mut self, rng: &mut SmallRng, lab: &Lab, id: &SessionId, containers: &Simulated, now: Timestamp) {
        let began = *self.began.get_or_insert(now);
        if now.since(began) < self.until && rng.random_bool(0.1) {
            let url = lab.engine.get(id.as_str()).ok().and_then(|status| status.url.clone());
            let ip = url.and_then(|url| Some(url.trim_start_matches("http://").split(':').next()?.to_owned()));
            if let Some(ip) = ip {
                containers.use_it(&ip, rng.random_range(1..5));
            }
        }
        if self.meddle && rng.random_bool(0.01) && self.acts < 6 {
            self.acts += 1;
            let request = match rng.random_range(0..8) {
                0 => Request::Touch { by: "a person".to_owned() },
                1 => Request::Extend(Extension::Lifetime { by: Span::from_mins(10) }),
                2 => Request::Extend(Extension::Budget { by: Money::from_nanos(1_000_000) }),
                3 => Request::Extend(Extension::Idle { by: Span::from_mins(10) }),
                4 | 5 => Request::Stop { reason: "lunch".to_owned() },
                6 => Request::Resume,
                _ => Request::End { reason: "done".to_owned() },
            };
            // What makes no sense in the present phase is refused, which is right.
            let _ = lab.engine.request(id.to_string(), request).await;
        }
    }
}
