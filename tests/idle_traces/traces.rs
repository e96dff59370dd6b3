//! The traces: what happened, and when the session should have ended. Times in seconds; the application is ready at 0
//! where nothing else is said, and the idle time-out is 20 minutes, the longest gap 30.

use labguard::domain::model::{Cause, Source};

use crate::player::{
    Doing::{self, *},
    GAP, IDLE, Trace,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Longer than any trace.
const EVER: u64 = 100 * HOUR;

fn trace(name: &'static str, ends: u64, doings: &[Doing]) -> Trace {
    let doings = [&[Probes(5)], doings].concat();
    Trace { name, ready: 0, doings, ends: (ends, Cause::Idle), least: 1, lifetime: EVER }
}

/// All of them.
pub fn all() -> Vec<Trace> {
    let mut all = plain();
    all.extend(long_and_noisy());
    all.extend(starts_and_restarts());
    all.extend(outages());
    all.extend(clocks());
    all.extend(words());
    all
}

fn plain() -> Vec<Trace> {
    vec![
        trace("never used", IDLE, &[]),
        trace("one request", 300 + IDLE, &[Uses(300, 300, 1)]),
        trace("one burst", 480 + IDLE, &[Uses(420, 480, 2)]),
        trace(
            "bursts a quarter of an hour apart",
            3120 + IDLE,
            &[Uses(300, 360, 3), Uses(1260, 1320, 3), Uses(2220, 2280, 3), Uses(3060, 3120, 3)],
        ),
        trace("a pause of just under the time-out", 1500 + IDLE, &[Uses(330, 330, 1), Uses(1500, 1500, 1)]),
        trace("steady use for three hours", 3 * HOUR + IDLE, &[Uses(60, 3 * HOUR, 30)]),
        trace("one request every nineteen minutes", 5700 + IDLE, &[Uses(0, 5700, 1140)]),
        trace("a demonstration at the very end of the idle time", 1190 + IDLE, &[Uses(1185, 1190, 1)]),
        trace("a class that begins late", 2300 + IDLE, &[Uses(1100, 2300, 7)]),
        trace("use in the first second", IDLE, &[Uses(0, 0, 1)]),
    ]
}

fn long_and_noisy() -> Vec<Trace> {
    let noisy = |name, ends, doings: &[Doing], least| Trace { least, ..trace(name, ends, doings) };
    vec![
        trace("one request of an hour", 4200 + IDLE, &[Long(600, 4200)]),
        trace("one request of fifty minutes, twice, with a pause", 8400 + IDLE, &[Long(300, 3300), Long(4200, 8400)]),
        trace("a websocket for two hours", 7500 + IDLE, &[Long(300, 7500)]),
        trace(
            "a long request that outlives the browsing beside it",
            5000 + IDLE,
            &[Uses(60, 900, 20), Long(600, 5000)],
        ),
        trace("two requests that overlap", 4000 + IDLE, &[Long(100, 2500), Long(2400, 4000)]),
        trace("browsing after a long download", 2500 + IDLE, &[Long(200, 2000), Uses(2100, 2500, 25)]),
        trace("probes only", IDLE, &[]),
        trace("probes every second", IDLE, &[Probes(1)]),
        trace("scanners on other paths, all the time", IDLE, &[Scans(10, EVER, 20)]),
        trace("a storm of scanners after real use", 600 + IDLE, &[Uses(500, 600, 5), Scans(700, 1500, 1)]),
        trace("scanners all the time beside real use", 1800 + IDLE, &[Uses(600, 1800, 60), Scans(0, EVER, 7)]),
        noisy("scanners on the front page, below what counts", IDLE, &[Drips(30, EVER, 45)], 5),
        noisy(
            "scanners on the front page beside bursts of use",
            960 + IDLE,
            &[Drips(30, EVER, 45), Uses(900, 960, 2)],
            5,
        ),
        noisy(
            "scanners on the front page beside one long request",
            3000 + IDLE,
            &[Drips(30, EVER, 45), Long(300, 3000)],
            5,
        ),
    ]
}

fn starts_and_restarts() -> Vec<Trace> {
    let slow = |name, ready, ends, doings: &[Doing]| Trace { ready, ..trace(name, ends, doings) };
    vec![
        slow("a start of twenty-five minutes, then never used", 1500, 1500 + IDLE, &[]),
        slow("a start of half an hour, then used", 1800, 2100 + IDLE, &[Uses(2000, 2100, 10)]),
        slow("a start of an hour: longer than time-out and gap together", 3700, 3700 + IDLE, &[]),
        trace("the application restarts and nobody uses it", 600 + IDLE, &[Uses(0, 300, 10), Restart(600)]),
        trace("the application restarts amid use", 1200 + IDLE, &[Uses(0, 1200, 10), Restart(600)]),
        trace("it restarts before its first use", 900 + IDLE, &[Restart(300), Uses(800, 900, 10)]),
        // Twice in a quiet time: what may have happened between two reads is not called quiet.
        trace(
            "it restarts twice after its last use",
            900 + IDLE,
            &[Uses(0, 100, 5), Restart(500), Uses(510, 520, 5), Restart(900)],
        ),
        trace("labguard is restarted amid use", 1800 + IDLE, &[Uses(0, 1800, 20), Away(900, 960)]),
        trace("labguard is away for an hour while it is used", 5000 + IDLE, &[Uses(0, 5000, 20), Away(600, 4200)]),
        trace("labguard is away, and it is not used", 700 + IDLE, &[Uses(0, 300, 20), Away(400, 700)]),
    ]
}

fn outages() -> Vec<Trace> {
    vec![
        trace("no source for five minutes amid use", 2400 + IDLE, &[Uses(0, 2400, 20), AllOut(900, 1200)]),
        trace("no source for twenty-five minutes amid use", 4200 + IDLE, &[Uses(0, 4200, 20), AllOut(900, 2400)]),
        // From the last good read on it is waited for as long as a gap may be; then it counts as idle.
        trace("no source any more, and no use", 885 + GAP, &[Uses(0, 600, 20), AllOut(900, EVER)]),
        trace("no source from the first moment on", GAP, &[AllOut(0, EVER)]),
        trace(
            "the counter is gone for ever, the gauge is not",
            585 + GAP,
            &[Uses(0, 500, 20), Out(Source::Requests, 600, EVER)],
        ),
        trace(
            "the counter is gone for ten minutes after the last use",
            600 + IDLE,
            &[Uses(0, 600, 20), Out(Source::Requests, 700, 1300)],
        ),
        trace(
            "the counter is gone during a long request",
            3000 + IDLE,
            &[Long(300, 3000), Out(Source::Requests, 600, 1500)],
        ),
        trace(
            "the sentinel is gone, which nothing depends on",
            300 + IDLE,
            &[Uses(0, 300, 20), Out(Source::Sentinel, 0, EVER)],
        ),
        Trace {
            ends: (2 * HOUR, Cause::Lifetime),
            lifetime: 2 * HOUR,
            ..trace("no gap holds off the lifetime", 0, &[Uses(0, 6000, 20), AllOut(6100, EVER)])
        },
    ]
}

fn clocks() -> Vec<Trace> {
    vec![
        trace("the clock is set forward by half an hour after use", 900 + IDLE, &[Uses(0, 900, 20), Step(1300, 1800)]),
        trace("the clock is set forward by an hour amid use", 3000 + IDLE, &[Uses(0, 3000, 20), Step(1000, 3600)]),
        trace("the clock is set back by an hour amid use", 3000 + IDLE, &[Uses(0, 3000, 20), Step(1000, -3600)]),
        trace("the clock is set forward and nobody ever used it", IDLE, &[Step(300, 3600)]),
        trace("the clock is set back by ten minutes after use", 900 + IDLE, &[Uses(0, 900, 20), Step(1200, -600)]),
    ]
}

fn words() -> Vec<Trace> {
    vec![
        trace("a heartbeat", 900 + IDLE, &[Touch(900)]),
        trace(
            "heartbeats every ten minutes",
            6000 + IDLE,
            &[
                Touch(600),
                Touch(1200),
                Touch(1800),
                Touch(2400),
                Touch(3000),
                Touch(3600),
                Touch(4200),
                Touch(4800),
                Touch(5400),
                Touch(6000),
            ],
        ),
        trace("a lease of an hour, released", 4000 + IDLE, &[Lease(400, 4000)]),
        trace("a lease whose holder is killed", 2400 + IDLE, &[Killed(400, 2450)]),
        trace("a lease while no source can be read", 5000 + IDLE, &[Lease(400, 5000), AllOut(500, 4900)]),
        trace("a lease across a time of use", 3000 + IDLE, &[Lease(400, 2000), Uses(2900, 3000, 10)]),
    ]
}

/// Work that only the log shows: for set-ups that read it.
pub fn of_lines() -> Vec<Trace> {
    vec![
        trace("log lines only: a batch job of an hour", 3900 + IDLE, &[Lines(300, 3900, 40)]),
        trace("log lines only, now and then", 4500 + IDLE, &[Lines(300, 4500, 1050)]),
        trace("log lines that come as late as they may", 1980 + IDLE, &[Lines(540, 1980, 180)]),
        trace(
            "the log cannot be read for ever, and requests end",
            540 + GAP,
            &[Uses(0, 500, 20), Out(Source::Logs, 600, EVER)],
        ),
        trace(
            "the log cannot be read for ten minutes",
            2000 + IDLE,
            &[Lines(300, 2000, 50), Out(Source::Logs, 700, 1300)],
        ),
    ]
}

/// Work that only the processor or the network shows: for set-ups that read Container Insights, which come minutes late and
/// not always.
pub fn of_insights() -> Vec<Trace> {
    let insights = Source::Insights;
    vec![
        trace("a computation of an hour and nothing else", 4200 + IDLE, &[Computes(600, 4200)]),
        trace(
            "computations of five minutes, a quarter of an hour apart",
            3300 + IDLE,
            &[Computes(300, 600), Computes(1200, 1500), Computes(2100, 2400), Computes(3000, 3300)],
        ),
        trace(
            "a computation that outlives the requests beside it",
            3900 + IDLE,
            &[Uses(60, 900, 20), Computes(800, 3900)],
        ),
        trace("a download of half an hour", 2400 + IDLE, &[Streams(600, 2400)]),
        trace(
            "its figures are missing for ten minutes of a computation",
            3900 + IDLE,
            &[Computes(300, 3900), Hole(insights, 1200, 1800)],
        ),
        trace("its figures come twenty minutes late", 3900 + IDLE, &[Computes(300, 3900), Late(insights, 1500, 2700)]),
        trace(
            "CloudWatch refuses for ten minutes amid a computation",
            3900 + IDLE,
            &[Computes(300, 3900), Out(insights, 1500, 2100)],
        ),
        // The last good look is fourteen minutes after the start; from there on it is waited for.
        trace("its figures end for ever", 840 + GAP, &[Computes(0, 500), Hole(insights, 580, EVER)]),
        trace("probes and scanners move little", IDLE, &[Probes(1), Scans(10, EVER, 2)]),
    ]
}

/// What a load balancer counts, minutes late.
pub fn of_balancer() -> Vec<Trace> {
    let balancer = Source::LoadBalancer;
    let noisy = |name, ends, doings: &[Doing], least| Trace { least, ..trace(name, ends, doings) };
    vec![
        trace("nobody asks the load balancer", IDLE, &[]),
        trace(
            "bursts by the load balancer",
            2160 + IDLE,
            &[Uses(300, 360, 3), Uses(1260, 1320, 3), Uses(2100, 2160, 3)],
        ),
        trace("a request every nineteen minutes by the load balancer", 5700 + IDLE, &[Uses(0, 5700, 1140)]),
        trace("a load balancer of which nobody ever heard", GAP, &[Hole(balancer, 0, EVER)]),
        trace(
            "a load balancer whose figures come late amid use",
            3600 + IDLE,
            &[Uses(0, 3600, 30), Late(balancer, 1200, 2400)],
        ),
        trace(
            "use while its figures come late",
            1700 + IDLE,
            &[Uses(300, 360, 10), Uses(1600, 1700, 10), Late(balancer, 1500, 2700)],
        ),
        noisy(
            "a few scanners a minute at the load balancer",
            900 + IDLE,
            &[Drips(30, EVER, 25), Scans(0, EVER, 40), Uses(600, 900, 2)],
            10,
        ),
    ]
}

/// Scanners that a load balancer takes for users, and the application does not.
pub fn at_the_balancer() -> Vec<Trace> {
    vec![
        trace("scanners at the load balancer, and nobody else", IDLE, &[Scans(10, EVER, 20)]),
        trace("scanners at the load balancer after real use", 600 + IDLE, &[Uses(300, 600, 5), Scans(0, EVER, 30)]),
        trace(
            "scanners at the load balancer beside a long request",
            3000 + IDLE,
            &[Long(300, 3000), Scans(0, EVER, 15)],
        ),
    ]
}

/// Scanners that look like users by path and by agent, from addresses that are known.
pub fn by_address() -> Vec<Trace> {
    vec![
        trace("scanners on the front page, known by their address", IDLE, &[Drips(30, EVER, 45)]),
        trace("known scanners all the time beside real use", 1800 + IDLE, &[Uses(600, 1800, 60), Drips(0, EVER, 7)]),
        trace("a storm of known scanners after real use", 600 + IDLE, &[Uses(500, 600, 5), Drips(700, EVER, 1)]),
        trace("known scanners beside one long request", 3000 + IDLE, &[Drips(30, EVER, 45), Long(300, 3000)]),
    ]
}
