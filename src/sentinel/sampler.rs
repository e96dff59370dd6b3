//! Reads the counters of the namespace that the sentinel stands in, and makes a [`Sample`] of them.
//!
//! In a namespace of its own the kernel counts: nothing is missed, however short. With an address set, the namespace is
//! a whole machine's; then connections are met by looking, and one is counted when it is first seen, open or closing.
//!
//! Where only some people's use counts, the table says who the others are: a connection that is met in it, open or closing,
//! from an address that does not count is a stranger's, and taken off. One that came and went between two looks has no
//! address and stays use. labguard's own address is never a stranger's: its probes are told by its renewals.
//!
//! Guarantees: the table of sockets is read as a stream, so memory stays small; it is read only while something may be
//! open, and less often where it takes long, so that the sentinel stays below a hundredth of a processor.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{
    clocks::Machine,
    namespace::{self, ESTABLISHED, LISTEN, Opens, SYN_RECV, Socket},
    watch::Sample,
};
use crate::domain::model::range::Whose;

/// Most connections that are remembered with the moment they were first seen. More are counted, and have no age.
const MOST_KNOWN: usize = 8192;
/// How long a growth waits to be read again: a connection to the sentinel's own port may be on its way to be accepted.
/// Most addresses of strangers that are told apart. Connections from more of them stay use.
const MOST_STRANGERS: usize = 1024;
/// For so long a stranger's connection that is not met any more is remembered, in milliseconds: longer than the kernel
/// keeps a closed one, so that one look that misses it does not make it two.
const REMEMBERED: u64 = 130_000;
const AGAIN: Duration = Duration::from_millis(5);

/// The reader, with what it must remember between reads.
#[derive(Debug)]
pub struct Sampler {
    folder: PathBuf,
    ports: Vec<u16>,
    address: Option<IpAddr>,
    whose: Whose,
    /// How many connections were met from each address that does not count.
    strangers: BTreeMap<IpAddr, u64>,
    /// Where labguard asks from.
    renewers: Vec<IpAddr>,
    /// Connections of others by the counter as it was before the table was last read.
    raw: u64,
    base: Base,
    /// Connections and when they were first seen; in a shared namespace closing ones, too.
    known: BTreeMap<(SocketAddr, SocketAddr), Known>,
    round: u64,
    met: u64,
    last: u64,
    /// When the table may be read again, monotonic milliseconds.
    table_due: u64,
    /// The counter when the table was read last.
    table_opens: Option<u64>,
    in_flight: (u64, Option<u64>),
}

#[derive(Clone, Copy, Debug)]
struct Known {
    since: u64,
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
    /// Remembers where the counters stand. Make it before listening: what comes later is counted.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read, with the file's name.
    pub fn new(folder: PathBuf, ports: Vec<u16>, address: Option<IpAddr>, whose: Whose) -> Result<Self, String> {
        let mut sampler = Self {
            folder,
            ports,
            address,
            whose,
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
            in_flight: (0, None),
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
        let guarded = |end: SocketAddr| {
            self.ports.contains(&end.port()) && self.address.is_none_or(|address| end.ip() == address)
        };
        let is_open = socket.state == ESTABLISHED;
        let key = if matches!(socket.state, LISTEN | SYN_RECV) {
            return;
        } else if guarded(socket.local) {
            let stranger = self.is_stranger(socket.remote.ip());
            if !is_open && self.address.is_none() && !stranger {
                return;
            }
            (socket.local, socket.remote)
        } else if self.address.is_some() && guarded(socket.remote) && socket.state == namespace::TIME_WAIT {
            // Both ends are in this namespace, and the client's is the one that lingers.
            (socket.remote, socket.local)
        } else {
            return;
        };
        let peer = key.1.ip();
        *open += u64::from(is_open && !self.is_stranger(peer));
        if let Some(known) = self.known.get_mut(&key) {
            (known.round, known.open, known.met) = (self.round, is_open, now);
        } else if self.known.len() < MOST_KNOWN {
            self.met += 1;
            self.known.insert(key, Known { since: now, round: self.round, open: is_open, met: now });
            let told_apart = self.strangers.len() < MOST_STRANGERS || self.strangers.contains_key(&peer);
            if !self.whose.is_everybody() && !self.whose.counts(peer) && told_apart {
                *self.strangers.entry(peer).or_default() += 1;
            }
        }
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
        let mut sampler = Sampler::new(folder.path().to_owned(), vec![5000], None, Whose::default()).unwrap();
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
        let mut sampler =
            Sampler::new(folder.path().to_owned(), vec![5000], Some("127.1.2.3".parse().unwrap()), Whose::default())
                .unwrap();
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        let ours = |state| row("0302017F:1388", "0100007F:9C40", state);
        let mirrored = row("0100007F:9C40", "0302017F:1388", namespace::TIME_WAIT);
        let foreign = row("0100007F:1388", "0100007F:9C42", ESTABLISHED);
        let read = |tcp: String, sampler: &mut Sampler| {
            write(&folder, 900, &(tcp + &foreign));
            sampler.table_due = 0;
            let sample = sampler.read(&clock, &own, &[]).unwrap();
            (sample.connections, sample.in_flight)
        };
        assert_eq!(read(String::new(), &mut sampler), (0, 0));
        assert_eq!(read(ours(ESTABLISHED), &mut sampler), (1, 1));
        assert_eq!(read(ours(namespace::TIME_WAIT), &mut sampler), (1, 0));
        assert_eq!(read(mirrored, &mut sampler), (1, 0));
        assert_eq!(read(String::new(), &mut sampler), (1, 0));
        assert_eq!(read(ours(namespace::TIME_WAIT), &mut sampler), (2, 0), "between two looks");
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_table_is_read_while_something_may_be_open_and_not_otherwise() {
        let folder = folder(100, "");
        let mut sampler = Sampler::new(folder.path().to_owned(), vec![5000], None, Whose::default()).unwrap();
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
        Sampler::new(folder.path().to_owned(), vec![5000], address, whose).unwrap()
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
        let closing = ignored("9C41", namespace::TIME_WAIT) + &other("9C42", namespace::TIME_WAIT);
        assert_eq!(read(103, closing, &[]), (1, Some(2), 0));
        assert_eq!(read(103, String::new(), &[]), (1, Some(2), 0));
        assert_eq!(read(103, ignored("9C41", namespace::TIME_WAIT), &[]), (1, Some(2), 0), "a look that missed it");
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
        let error = Sampler::new(folder.path().to_owned(), vec![5000], None, Whose::default()).unwrap_err();
        assert!(error.contains("snmp"), "{error}");
        fs::write(folder.path().join("snmp"), "Udp: 1\n").unwrap();
        let error = Sampler::new(folder.path().to_owned(), vec![5000], None, Whose::default()).unwrap_err();
        assert!(error.ends_with("has no TCP counters"), "{error}");
    }
}
