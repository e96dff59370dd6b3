//! Reads the counters of the namespace that the sentinel stands in, and makes a [`Sample`] of them.
//!
//! In a namespace of its own the kernel counts: nothing is missed, however short. With an address set, the namespace is
//! a whole machine's; then connections are met by looking, and one is counted when it is first seen, open or closing.
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

/// Most connections that are remembered with the moment they were first seen. More are counted, and have no age.
const MOST_KNOWN: usize = 8192;
/// How long a growth waits to be read again: a connection to the sentinel's own port may be on its way to be accepted.
const AGAIN: Duration = Duration::from_millis(5);

/// The reader, with what it must remember between reads.
#[derive(Debug)]
pub struct Sampler {
    folder: PathBuf,
    ports: Vec<u16>,
    address: Option<IpAddr>,
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
    pub fn new(folder: PathBuf, ports: Vec<u16>, address: Option<IpAddr>) -> Result<Self, String> {
        let mut sampler = Self {
            folder,
            ports,
            address,
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
        Ok(sampler)
    }

    /// Reads all. `own`: connections that the sentinel itself has accepted.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read, with the file's name.
    pub fn read(&mut self, clock: &Machine, own: &AtomicU64) -> Result<Sample, String> {
        let mut opens = self.opens()?;
        let mut connections = self.others(opens, own);
        if self.address.is_none() && connections > self.last {
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
            // One four-hundredth of the time, half a second apart at least, ten seconds at most.
            self.table_due = begun.saturating_add(took.saturating_mul(400).clamp(500, 10_000));
        }
        if self.address.is_some() {
            connections = self.met;
        }
        self.last = connections;
        let bytes = self.bytes().zip(self.base.bytes);
        Ok(Sample {
            connections,
            opened: self.address.is_none().then(|| opens.active.saturating_sub(self.base.opens.active)),
            in_flight: self.in_flight.0,
            oldest: self.in_flight.1,
            bytes_in: bytes.map(|(now, base)| now.0.saturating_sub(base.0)),
            bytes_out: bytes.map(|(now, base)| now.1.saturating_sub(base.1)),
        })
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
        self.known.retain(|_, known| known.round == round);
        let oldest = self.known.values().filter(|known| known.open).map(|known| known.since).min();
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
            if !is_open && self.address.is_none() {
                return;
            }
            (socket.local, socket.remote)
        } else if self.address.is_some() && guarded(socket.remote) && socket.state == namespace::TIME_WAIT {
            // Both ends are in this namespace, and the client's is the one that lingers.
            (socket.remote, socket.local)
        } else {
            return;
        };
        *open += u64::from(is_open);
        if let Some(known) = self.known.get_mut(&key) {
            (known.round, known.open) = (self.round, is_open);
        } else if self.known.len() < MOST_KNOWN {
            self.met += 1;
            self.known.insert(key, Known { since: now, round: self.round, open: is_open });
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
        let mut sampler = Sampler::new(folder.path().to_owned(), vec![5000], None).unwrap();
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        assert_eq!(sampler.read(&clock, &own).unwrap().connections, 0);
        let open = row("0100007F:1388", "0200000A:9C40", ESTABLISHED);
        let other = row("0100007F:1389", "0200000A:9C41", ESTABLISHED) + &row("0100007F:1388", "00000000:0000", LISTEN);
        write(&folder, 107, &(open + &other));
        own.store(3, Ordering::SeqCst);
        sampler.table_due = 0;
        let sample = sampler.read(&clock, &own).unwrap();
        assert_eq!((sample.connections, sample.in_flight), (4, 1));
        assert!(sample.oldest.is_some());
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn in_a_shared_namespace_a_connection_counts_once_whichever_end_lingers() {
        let folder = folder(100, "");
        let mut sampler =
            Sampler::new(folder.path().to_owned(), vec![5000], Some("127.1.2.3".parse().unwrap())).unwrap();
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        let ours = |state| row("0302017F:1388", "0100007F:9C40", state);
        let mirrored = row("0100007F:9C40", "0302017F:1388", namespace::TIME_WAIT);
        let foreign = row("0100007F:1388", "0100007F:9C42", ESTABLISHED);
        let read = |tcp: String, sampler: &mut Sampler| {
            write(&folder, 900, &(tcp + &foreign));
            sampler.table_due = 0;
            let sample = sampler.read(&clock, &own).unwrap();
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
        let mut sampler = Sampler::new(folder.path().to_owned(), vec![5000], None).unwrap();
        let (clock, own) = (Machine::new(), AtomicU64::new(0));
        let open = row("0100007F:1388", "0200000A:9C40", ESTABLISHED);
        // The counter, whether one is open, and how often the table has been read by then.
        for (passive, is_open, rounds) in
            [(100, false, 1), (100, false, 1), (101, true, 2), (101, true, 3), (101, false, 4), (101, false, 4)]
        {
            write(&folder, passive, if is_open { &open } else { "" });
            sampler.table_due = 0;
            let sample = sampler.read(&clock, &own).unwrap();
            assert_eq!((sample.in_flight, sampler.round), (u64::from(is_open), rounds), "{passive} {is_open}");
        }
    }

    #[test]
    fn counters_that_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Sampler::new(folder.path().to_owned(), vec![5000], None).unwrap_err();
        assert!(error.contains("snmp"), "{error}");
        fs::write(folder.path().join("snmp"), "Udp: 1\n").unwrap();
        let error = Sampler::new(folder.path().to_owned(), vec![5000], None).unwrap_err();
        assert!(error.ends_with("has no TCP counters"), "{error}");
    }
}
