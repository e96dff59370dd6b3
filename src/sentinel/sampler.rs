//! Reads the counters of the namespace that the sentinel stands in, and makes a [`Sample`] of them.
//!
//! In a namespace of its own the kernel counts: nothing is missed, however short. With an address set, the namespace is
//! a whole machine's; then connections are met by looking, and one is counted when it is first seen, open or closing.
//!
//! Where only some people's use counts, the table says who the others are: a connection that is met in it, open or closing,
//! from an address that does not count is a stranger's, and taken off. One that came and went between two looks has no
//! address and stays use. labguard's own address is never a stranger's: its probes are told by its renewals. The counter
//! counts every port, so strangers are met at every port that something listens on, the sentinel's own left out.
//!
//! A client that has said its last word may still wait for its answer: such a connection is open, too, for an hour at most,
//! since a socket that its application has forgotten looks the same.
//!
//! Guarantees: the table of sockets is read as a stream, so memory stays small; it is read only while something may be
//! open, and less often where it takes long, so that the sentinel stays below a hundredth of a processor.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufRead, BufReader},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{
    clocks::Machine,
    namespace::{self, CLOSE_WAIT, ESTABLISHED, LISTEN, Opens, SYN_RECV, Socket, TIME_WAIT},
    watch::Sample,
};
use crate::domain::model::range::Whose;

/// Most connections that are remembered with the moment they were first seen. More are counted, and have no age.
const MOST_KNOWN: usize = 8192;
/// Most half-closed connections of others that count as open. Beyond them they do not.
const MOST_HALF: usize = 1024;
/// For so long a half-closed connection is open, in milliseconds, from when it was first seen so.
const HALF_LONGEST: u64 = 3_600_000;
/// Most addresses of strangers that are told apart. Connections from more of them stay use.
const MOST_STRANGERS: usize = 1024;
/// For so long a stranger's connection that is not met any more is remembered, in milliseconds: longer than the kernel
/// keeps a closed one, so that one look that misses it does not make it two.
const REMEMBERED: u64 = 130_000;
/// How long a growth waits to be read again: a connection to the sentinel's own port may be on its way to be accepted.
const AGAIN: Duration = Duration::from_millis(5);

/// The reader, with what it must remember between reads.
#[derive(Debug)]
pub struct Sampler {
    folder: PathBuf,
    ports: Vec<u16>,
    /// The sentinel's own, whose connections it counts itself.
    own_port: u16,
    address: Option<IpAddr>,
    whose: Whose,
    /// Ports that something listened on when the table was last read.
    listening: BTreeSet<u16>,
    /// How many connections were met from each address that does not count.
    strangers: BTreeMap<IpAddr, u64>,
    /// Where labguard asks from.
    renewers: Vec<IpAddr>,
    /// Connections of others by the counter as it was before the table was last read.
    raw: u64,
    base: Base,
    /// Connections and when they were first seen; in a shared namespace closing ones, too.
    known: BTreeMap<Ends, Known>,
    round: u64,
    met: u64,
    last: u64,
    /// When the table may be read again, monotonic milliseconds.
    table_due: u64,
    /// The counter when the table was read last.
    table_opens: Option<u64>,
    /// Until when everything is in the count that the table gave, monotonic milliseconds.
    as_of: u64,
    in_flight: (u64, Option<u64>),
    /// Half-closed connections in this reading of the table.
    half: usize,
}

/// The end that accepted a connection, and the other.
type Ends = (SocketAddr, SocketAddr);

#[derive(Clone, Copy, Debug)]
struct Known {
    since: u64,
    /// Since when the other side has said its last word.
    half_since: Option<u64>,
    round: u64,
    open: bool,
    /// When it was last met.
    met: u64,
}

/// What the counters said at the start.
#[derive(Clone, Copy, Debug)]
struct Base {
    opens: Opens,
    bytes: Option<(u64, u64)>,
}

impl Sampler {
    /// Remembers where the counters stand. Make it before listening on `own_port`: what comes later is counted.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read, with the file's name.
    pub fn new(
        folder: PathBuf,
        ports: Vec<u16>,
        own_port: u16,
        address: Option<IpAddr>,
        whose: Whose,
    ) -> Result<Self, String> {
        let mut sampler = Self {
            folder,
            ports,
            own_port,
            address,
            whose,
            listening: BTreeSet::new(),
            strangers: BTreeMap::new(),
            renewers: Vec::new(),
            raw: 0,
            base: Base { opens: Opens { passive: 0, active: 0 }, bytes: None },
            known: BTreeMap::new(),
            round: 0,
            met: 0,
            last: 0,
            table_due: 0,
            table_opens: None,
            as_of: 0,
            in_flight: (0, None),
            half: 0,
        };
        sampler.base = Base { opens: sampler.opens()?, bytes: sampler.bytes() };
        if !sampler.whose.is_everybody() && sampler.address.is_none() {
            // What is there already is in no count of ours.
            sampler.table(0).map_err(|(name, error)| format!("cannot read {name}: {error}"))?;
            sampler.strangers.clear();
        }
        Ok(sampler)
    }

    /// Reads all. `own`: connections that the sentinel itself has accepted; `renewers`: where labguard asks from.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read, with the file's name.
    pub fn read(&mut self, clock: &Machine, own: &AtomicU64, renewers: &[IpAddr]) -> Result<Sample, String> {
        if self.renewers != renewers {
            self.renewers = renewers.to_vec();
        }
        let everybody = self.whose.is_everybody();
        let asked = clock.now().mono;
        let mut opens = self.opens()?;
        let mut connections = self.others(opens, own);
        let before = if everybody { self.last } else { self.raw };
        if self.address.is_none() && connections > before {
            std::thread::sleep(AGAIN);
            opens = self.opens()?;
            connections = connections.min(self.others(opens, own));
        }
        let begun = clock.now().mono;
        // No connection opens without the counter rising. Reading the table costs the kernel a walk through all of its
        // own, however few sockets there are.
        let moved = self.table_opens != Some(opens.passive) || self.in_flight.0 > 0 || self.address.is_some();
        if moved && begun >= self.table_due {
            self.table_opens = Some(opens.passive);
            self.table(begun).map_err(|(name, error)| format!("cannot read {name}: {error}"))?;
            let took = clock.now().mono.saturating_sub(begun);
            // One four-hundredth of the time, half a second apart at least, ten seconds at most. Who strangers are is
            // known by this look alone: then as soon as it is cheap.
            let least = if everybody { 500 } else { 0 };
            self.table_due = begun.saturating_add(took.saturating_mul(400).clamp(least, 10_000));
            self.raw = connections;
            self.as_of = asked;
        } else if !moved {
            self.as_of = asked;
        }
        if self.address.is_some() {
            connections = self.met;
        }
        let strangers = self.strangers_met();
        if !everybody {
            // The counter as it was before the table: whoever came in between is met twice at worst, never missed.
            let others = if self.address.is_some() { self.met } else { self.raw };
            connections = others.saturating_sub(strangers).max(self.last);
        }
        self.last = connections;
        let bytes = self.bytes().zip(self.base.bytes);
        Ok(Sample {
            connections,
            as_of: (self.address.is_some() || !everybody).then_some(self.as_of),
            opened: self.address.is_none().then(|| opens.active.saturating_sub(self.base.opens.active)),
            in_flight: self.in_flight.0,
            oldest: self.in_flight.1,
            strangers: (!everybody).then_some(strangers),
            bytes_in: bytes.map(|(now, base)| now.0.saturating_sub(base.0)),
            bytes_out: bytes.map(|(now, base)| now.1.saturating_sub(base.1)),
        })
    }

    /// Connections of strangers so far: labguard's own are told by its renewals.
    fn strangers_met(&self) -> u64 {
        self.strangers.iter().filter(|(ip, _)| !self.renewers.contains(ip)).map(|(_, many)| many).sum()
    }

    /// Whether the use of that address is nobody's.
    fn is_stranger(&self, ip: IpAddr) -> bool {
        !self.whose.is_everybody() && !self.whose.counts(ip) && !self.renewers.contains(&ip)
    }

    /// Own connections are read after the counter: at worst one of the others is told a moment late.
    fn others(&self, opens: Opens, own: &AtomicU64) -> u64 {
        opens.passive.saturating_sub(self.base.opens.passive).saturating_sub(own.load(Ordering::SeqCst))
    }

    fn opens(&self) -> Result<Opens, String> {
        let path = self.folder.join("snmp");
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        namespace::opens(&text).ok_or_else(|| format!("{} has no TCP counters", path.display()))
    }

    fn bytes(&self) -> Option<(u64, u64)> {
        namespace::bytes(&fs::read_to_string(self.folder.join("dev")).ok()?)
    }

    /// Reads both tables of sockets.
    fn table(&mut self, now: u64) -> Result<(), (String, io::Error)> {
        self.round += 1;
        self.half = 0;
        self.listening.clear();
        let mut open = 0;
        for name in ["tcp", "tcp6"] {
            let path = self.folder.join(name);
            match File::open(&path) {
                Ok(file) => self
                    .lines(BufReader::with_capacity(16 * 1024, file), now, &mut open)
                    .map_err(|error| (path.display().to_string(), error))?,
                // A kernel without IPv6 has no tcp6.
                Err(error) if name == "tcp6" && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err((path.display().to_string(), error)),
            }
        }
        let round = self.round;
        let mut known = std::mem::take(&mut self.known);
        known.retain(|(_, peer), it| {
            let fresh = it.round == round;
            it.open &= fresh;
            fresh || (self.is_stranger(peer.ip()) && now.saturating_sub(it.met) < REMEMBERED)
        });
        self.known = known;
        let open_ones = self.known.iter().filter(|((_, peer), it)| it.open && !self.is_stranger(peer.ip()));
        let oldest = open_ones.map(|(_, it)| it.since).min();
        self.in_flight = (open, oldest);
        Ok(())
    }

    fn lines(&mut self, mut table: impl BufRead, now: u64, open: &mut u64) -> io::Result<()> {
        let mut line = String::with_capacity(256);
        while table.read_line(&mut line)? > 0 {
            if let Some(socket) = namespace::socket(&line) {
                self.meet(socket, now, open);
            }
            line.clear();
        }
        Ok(())
    }

    fn meet(&mut self, socket: Socket, now: u64, open: &mut u64) {
        if socket.state == LISTEN {
            // The kernel tells of these first.
            self.listening.insert(socket.local.port());
        }
        if matches!(socket.state, LISTEN | SYN_RECV) {
            return;
        }
        let Some((key, guarded)) = self.accepted(socket) else { return };
        let peer = key.1.ip();
        let stranger = self.is_stranger(peer);
        let half = guarded && !stranger && socket.state == CLOSE_WAIT;
        let half_since = half.then(|| self.known.get(&key).and_then(|known| known.half_since).unwrap_or(now));
        self.half += usize::from(half);
        let forgotten = self.half > MOST_HALF || half_since.is_some_and(|it| now.saturating_sub(it) >= HALF_LONGEST);
        let mut is_open = guarded && (socket.state == ESTABLISHED || half && !forgotten);
        if self.address.is_none() && !is_open && !stranger && (!half || self.half > MOST_HALF) {
            self.known.remove(&key);
            return;
        }
        if half && self.known.len() >= MOST_KNOWN && !self.known.contains_key(&key) {
            // Without a place to remember it, it would wait for ever.
            is_open = false;
        }
        *open += u64::from(is_open && !stranger);
        if let Some(known) = self.known.get_mut(&key) {
            (known.round, known.open, known.half_since, known.met) = (self.round, is_open, half_since, now);
        } else if self.known.len() < MOST_KNOWN {
            self.met += 1;
            self.known.insert(key, Known { since: now, half_since, round: self.round, open: is_open, met: now });
            let told_apart = self.strangers.len() < MOST_STRANGERS || self.strangers.contains_key(&peer);
            if !self.whose.is_everybody() && !self.whose.counts(peer) && told_apart {
                *self.strangers.entry(peer).or_default() += 1;
            }
        }
    }

    /// A connection that was accepted here, and whether at a guarded port; none of those that are not to be met.
    fn accepted(&self, Socket { local, remote, state }: Socket) -> Option<(Ends, bool)> {
        let guarded = |end: SocketAddr| {
            self.ports.contains(&end.port()) && self.address.is_none_or(|address| end.ip() == address)
        };
        let inside = remote.ip().is_loopback() || remote.ip() == local.ip();
        if guarded(local) {
            Some(((local, remote), true))
        } else if self.address.is_some() {
            // Both ends are in this namespace, and the client's is the one that lingers.
            (guarded(remote) && state == TIME_WAIT).then_some(((remote, local), true))
        } else if self.whose.is_everybody() {
            None
        } else if self.takes(local) {
            Some(((local, remote), false))
        } else {
            let lingers = inside && state == TIME_WAIT && (guarded(remote) || self.takes(remote));
            lingers.then_some(((remote, local), guarded(remote)))
        }
    }

    /// Whether something other than the sentinel listens there.
    fn takes(&self, end: SocketAddr) -> bool {
        end.port() != self.own_port && self.listening.contains(&end.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLE: &str = "  sl  local_address rem_address   st\n";

    /// A folder that looks like `/proc/net`.
    fn folder(passive: u64, tcp: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, passive, tcp);
        folder
    }

    fn write(folder: &tempfile::TempDir, passive: u64, tcp: &str) {
        let snmp = format!("Tcp: ActiveOpens PassiveOpens\nTcp: 3 {passive}\n");
        fs::write(folder.path().join("snmp"), snmp).unwrap();
        fs::write(folder.path().join("tcp"), format!("{TITLE}{tcp}")).unwrap();
    }

    fn row(local: &str, remote: &str, state: u8) -> String {
        format!("   0: {local} {remote} {state:02X} 00000000:00000000\n")
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernels_counter_counts_and_the_sentinels_own_connections_are_left_out() {
        let folder = folder(100, "");
        let mut sampler = Sampler::new(folder.path().to_owned(), vec![5000], 7300, None, Whose::default()).unwrap();
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        assert_eq!(sampler.read(&clock, &own, &[]).unwrap().connections, 0);
        let open = row("0100007F:1388", "0200000A:9C40", ESTABLISHED);
        let other = row("0100007F:1389", "0200000A:9C41", ESTABLISHED) + &row("0100007F:1388", "00000000:0000", LISTEN);
        write(&folder, 107, &(open + &other));
        own.store(3, Ordering::SeqCst);
        sampler.table_due = 0;
        let sample = sampler.read(&clock, &own, &[]).unwrap();
        assert_eq!((sample.connections, sample.in_flight), (4, 1));
        assert!(sample.oldest.is_some());
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn in_a_shared_namespace_a_connection_counts_once_whichever_end_lingers() {
        let folder = folder(100, "");
        let mut sampler = Sampler::new(
            folder.path().to_owned(),
            vec![5000],
            7300,
            Some("127.1.2.3".parse().unwrap()),
            Whose::default(),
        )
        .unwrap();
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        let ours = |state| row("0302017F:1388", "0100007F:9C40", state);
        let mirrored = row("0100007F:9C40", "0302017F:1388", TIME_WAIT);
        let foreign = row("0100007F:1388", "0100007F:9C42", ESTABLISHED);
        let read = |tcp: String, sampler: &mut Sampler| {
            write(&folder, 900, &(tcp + &foreign));
            sampler.table_due = 0;
            let sample = sampler.read(&clock, &own, &[]).unwrap();
            (sample.connections, sample.in_flight)
        };
        assert_eq!(read(String::new(), &mut sampler), (0, 0));
        assert_eq!(read(ours(ESTABLISHED), &mut sampler), (1, 1));
        assert_eq!(read(ours(TIME_WAIT), &mut sampler), (1, 0));
        assert_eq!(read(mirrored, &mut sampler), (1, 0));
        assert_eq!(read(String::new(), &mut sampler), (1, 0));
        assert_eq!(read(ours(TIME_WAIT), &mut sampler), (2, 0), "between two looks");
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_table_is_read_while_something_may_be_open_and_not_otherwise() {
        let folder = folder(100, "");
        let mut sampler = Sampler::new(folder.path().to_owned(), vec![5000], 7300, None, Whose::default()).unwrap();
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        let open = row("0100007F:1388", "0200000A:9C40", ESTABLISHED);
        // The counter, whether one is open, and how often the table has been read by then.
        for (passive, is_open, rounds) in
            [(100, false, 1), (100, false, 1), (101, true, 2), (101, true, 3), (101, false, 4), (101, false, 4)]
        {
            write(&folder, passive, if is_open { &open } else { "" });
            sampler.table_due = 0;
            let sample = sampler.read(&clock, &own, &[]).unwrap();
            assert_eq!((sample.in_flight, sampler.round), (u64::from(is_open), rounds), "{passive} {is_open}");
        }
    }

    /// Only 10.0.0.0/8 is allowed, and of that 10.0.0.66 is ignored. On this machine's words of four bytes.
    #[cfg(target_endian = "little")]
    fn picky(folder: &tempfile::TempDir, address: Option<&str>) -> Sampler {
        let whose =
            Whose { allowed: vec!["10.0.0.0/8".parse().unwrap()], ignored: vec!["10.0.0.66/32".parse().unwrap()] };
        let address = address.map(|it| it.parse().unwrap());
        Sampler::new(folder.path().to_owned(), vec![5000], 7300, address, whose).unwrap()
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn strangers_that_are_met_are_taken_off_and_who_is_not_met_stays_use() {
        let friend = |port: &str, state| row("0100007F:1388", &format!("0200000A:{port}"), state);
        let ignored = |port: &str, state| row("0100007F:1388", &format!("4200000A:{port}"), state);
        let other = |port: &str, state| row("0100007F:1388", &format!("076433C6:{port}"), state);
        let before = ignored("0001", ESTABLISHED);
        let folder = folder(100, &before);
        let mut sampler = picky(&folder, None);
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        let mut read = |passive: u64, tcp: String, renewers: &[IpAddr]| {
            write(&folder, passive, &(tcp + &before));
            sampler.table_due = 0;
            let sample = sampler.read(&clock, &own, renewers).unwrap();
            (sample.connections, sample.strangers, sample.in_flight)
        };
        assert_eq!(read(100, String::new(), &[]), (0, Some(0), 0), "what was there before is in no count");
        assert_eq!(
            read(103, friend("9C40", ESTABLISHED) + &ignored("9C41", ESTABLISHED) + &other("9C42", 4), &[]),
            (1, Some(2), 1)
        );
        // They close: neither met again nor forgotten.
        let closing = ignored("9C41", TIME_WAIT) + &other("9C42", TIME_WAIT);
        assert_eq!(read(103, closing, &[]), (1, Some(2), 0));
        assert_eq!(read(103, String::new(), &[]), (1, Some(2), 0));
        assert_eq!(read(103, ignored("9C41", TIME_WAIT), &[]), (1, Some(2), 0), "a look that missed it");
        assert_eq!(read(105, String::new(), &[]), (3, Some(2), 0), "two that nobody met are use");
        // One that comes between counter and table is met before it is counted: no use is lost by that.
        let two = other("9C50", ESTABLISHED) + &other("9C52", ESTABLISHED);
        assert_eq!(read(106, two.clone(), &[]), (3, Some(4), 0));
        assert_eq!(read(107, two.clone(), &[]), (3, Some(4), 0));
        assert_eq!(read(108, two + &friend("9C51", ESTABLISHED), &[]), (4, Some(4), 1));
        // labguard asks from there: its connections are told by renewals.
        let labguard: IpAddr = "198.51.100.7".parse().unwrap();
        assert_eq!(read(108, friend("9C51", ESTABLISHED), &[labguard]), (7, Some(1), 1));
    }

    /// A sampler that ignores loopback, its folder, and what it says of a counter and a table.
    #[cfg(target_endian = "little")]
    fn behind_a_proxy() -> impl FnMut(u64, String) -> (u64, Option<u64>, u64) {
        let folder = folder(100, "");
        let whose = Whose { allowed: Vec::new(), ignored: vec!["127.0.0.0/8".parse().unwrap()] };
        let mut sampler = Sampler::new(folder.path().to_owned(), vec![5000], 7300, None, whose).unwrap();
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        move |passive, tcp| {
            let listeners =
                [0x1388, 0x1F40, 0x1C84].map(|port| row(&format!("00000000:{port:04X}"), "00000000:0000", LISTEN));
            write(&folder, passive, &(listeners.concat() + &tcp));
            sampler.table_due = 0;
            let sample = sampler.read(&clock, &own, &[]).unwrap();
            (sample.connections, sample.strangers, sample.in_flight)
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn connections_of_an_inner_proxy_are_taken_off_at_whatever_port_they_are_met() {
        let mut read = behind_a_proxy();
        let outer = row("0500000A:1388", "076433C6:9C40", ESTABLISHED);
        // Both ends of the proxy's own connection; after it, the end that closed first lingers.
        let (inner, mirrored) = (("0100007F:1F40", "0100007F:A000"), ("0100007F:A000", "0100007F:1F40"));
        let both = row(inner.0, inner.1, ESTABLISHED) + &row(mirrored.0, mirrored.1, ESTABLISHED);
        assert_eq!(read(102, outer + &both), (1, Some(1), 1));
        assert_eq!(read(102, row(mirrored.0, mirrored.1, TIME_WAIT)), (1, Some(1), 0), "the same one");
        // One that was over between two looks, whichever end closed it.
        assert_eq!(read(104, row("0100007F:A002", inner.0, TIME_WAIT)), (2, Some(2), 0));
        assert_eq!(read(106, row(inner.0, "0100007F:A004", TIME_WAIT)), (3, Some(3), 0));
        // What the task opens to the outside, and what comes to the sentinel itself, is in no count.
        let outward =
            row("0500000A:B000", "076433C6:01BB", ESTABLISHED) + &row("0100007F:B002", "0100007F:2328", TIME_WAIT);
        let health =
            row("0100007F:1C84", "0100007F:B004", TIME_WAIT) + &row("0100007F:B006", "0100007F:1C84", TIME_WAIT);
        assert_eq!(read(107, outward + &health), (4, Some(3), 0));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_client_that_has_said_its_last_word_waits_for_its_answer_for_an_hour_at_most() {
        let folder = folder(100, "");
        let mut sampler = Sampler::new(folder.path().to_owned(), vec![5000], 7300, None, Whose::default()).unwrap();
        let half = |port: usize| row("0500000A:1388", &format!("076433C6:{port:04X}"), CLOSE_WAIT);
        let mut look = |now: u64, tcp: String| {
            write(&folder, 101, &tcp);
            sampler.table(now).unwrap();
            sampler.in_flight
        };
        assert_eq!(look(1_000, row("0500000A:1388", "076433C6:0001", ESTABLISHED)), (1, Some(1_000)));
        assert_eq!(look(2_000, half(1)), (1, Some(1_000)), "as old as the connection");
        assert_eq!(look(2_000 + HALF_LONGEST - 1, half(1)), (1, Some(1_000)));
        assert_eq!(look(2_000 + HALF_LONGEST, half(1)), (0, None));
        assert_eq!(look(9_000 + HALF_LONGEST, half(1) + &half(2)), (1, Some(9_000 + HALF_LONGEST)));
        assert_eq!(look(9_000 + 2 * HALF_LONGEST, half(1) + &half(2)), (0, None), "forgotten ones stay forgotten");
        // An application that loses them by the thousand leaves room for others.
        let lost: String = (3..60_000).map(half).collect();
        let later = 10_000 + 2 * HALF_LONGEST;
        assert_eq!(look(later, lost.clone()).0, MOST_HALF as u64);
        let open = row("0500000A:1388", "076433C6:FFFF", ESTABLISHED);
        assert_eq!(look(later + HALF_LONGEST, lost + &open), (1, Some(later + HALF_LONGEST)));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_count_is_as_old_as_the_table_where_that_is_needed_for_it() {
        let folder = folder(100, "");
        let mut sampler = picky(&folder, None);
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        let first = sampler.read(&clock, &own, &[]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert!(sampler.read(&clock, &own, &[]).unwrap().as_of > first.as_of, "nothing has come");
        write(&folder, 101, "");
        sampler.table_due = u64::MAX;
        let stale = sampler.read(&clock, &own, &[]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let staler = sampler.read(&clock, &own, &[]).unwrap();
        assert_eq!((staler.as_of, staler.connections), (stale.as_of, 0));
        sampler.table_due = 0;
        let fresh = sampler.read(&clock, &own, &[]).unwrap();
        assert!(fresh.as_of > stale.as_of && fresh.connections == 1, "{fresh:?}");
        let mut exact = Sampler::new(folder.path().to_owned(), vec![5000], 7300, None, Whose::default()).unwrap();
        assert_eq!(exact.read(&clock, &own, &[]).unwrap().as_of, None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_long_connection_of_a_stranger_is_no_use_however_long_it_lasts() {
        let folder = folder(100, "");
        let mut sampler = picky(&folder, None);
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        write(&folder, 101, &row("0100007F:1388", "4200000A:9C41", ESTABLISHED));
        let sample = sampler.read(&clock, &own, &[]).unwrap();
        assert_eq!((sample.connections, sample.in_flight, sample.oldest), (0, 0, None));
        let labguard: IpAddr = "10.0.0.66".parse().unwrap();
        sampler.table_due = 0;
        write(&folder, 102, &row("0100007F:1388", "4200000A:9C41", ESTABLISHED));
        let sample = sampler.read(&clock, &own, &[labguard]).unwrap();
        assert_eq!((sample.in_flight, sample.oldest.is_some()), (1, true));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn in_a_shared_namespace_strangers_are_left_out_of_what_is_met() {
        let folder = folder(100, "");
        let mut sampler = picky(&folder, Some("127.1.2.3"));
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        let rows =
            row("0302017F:1388", "0200000A:9C40", ESTABLISHED) + &row("0302017F:1388", "0100007F:9C41", ESTABLISHED);
        write(&folder, 900, &rows);
        let sample = sampler.read(&clock, &own, &[]).unwrap();
        assert_eq!((sample.connections, sample.strangers, sample.in_flight), (1, Some(1), 1));
    }

    #[test]
    fn counters_that_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Sampler::new(folder.path().to_owned(), vec![5000], 7300, None, Whose::default()).unwrap_err();
        assert!(error.contains("snmp"), "{error}");
        fs::write(folder.path().join("snmp"), "Udp: 1\n").unwrap();
        let error = Sampler::new(folder.path().to_owned(), vec![5000], 7300, None, Whose::default()).unwrap_err();
        assert!(error.ends_with("has no TCP counters"), "{error}");
    }
}
