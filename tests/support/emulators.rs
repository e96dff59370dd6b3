//! Two AWS emulators that labguard did not write, as fixtures: started on free loopback ports, ended with the test.
//!
//! They need the environment that `./test` makes. What each gets wrong is in docs/testing.md; the gaps that would
//! stop a session are filled here, in the open, and never in product code:
//!
//! * moto moves a task on with every look, so that watching kills it: [`Moto::start`] switches that off;
//! * moto gives a task's interface no public address: [`Moto::give_addresses`] does, by AllocateAddress and
//!   AssociateAddress on every new interface;
//! * neither's default VPC has the route to the internet that AWS's has: [`Ec2::open_default_vpc`] gives it one.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

#[path = "held_port.rs"]
mod held_port;
use held_port::HeldPort;

/// How long an emulator may take to answer its first request: it imports a lot of Python on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// The folder of the programs that `./test` installed.
fn programs() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_labguard"));
    let folder = binary.ancestors().nth(2).expect("target/<profile>/labguard").join("venv/bin");
    assert!(folder.exists(), "{} is missing: run ./test (or ./test --prepare) first", folder.display());
    folder
}

/// A running emulator; ended when dropped.
struct Process {
    child: Child,
    port: u16,
    // moto's werkzeug and ministack's hypercorn set SO_REUSEADDR
    _held: HeldPort,
    // holds its log and whatever it writes to its temporary folder
    folder: tempfile::TempDir,
}

impl Process {
    /// Starts a program of the Python environment; `environment` may use `{port}`.
    fn start(program: &str, arguments: &[&str], environment: &[(&str, &str)], ready_path: &str) -> Self {
        let held = HeldPort::new();
        let port = held.number;
        let fill = |text: &str| text.replace("{port}", &port.to_string());
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(programs().join(program))
            .args(arguments.iter().map(|argument| fill(argument)))
            .envs(environment.iter().map(|(name, value)| (name, fill(value))))
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut process = Self { child, port, _held: held, folder };
        process.wait_until_ready(program, ready_path);
        process
    }

    fn wait_until_ready(&mut self, program: &str, path: &str) {
        let asked = tokio::time::Instant::now();
        while asked.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{program} ended with {status} before it answered:\n{}", self.said());
            }
            if send(self.port, "GET", path, &[], "").is_ok_and(|(status, _)| status == 200) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{program} did not answer within {READY_WITHIN:?}:\n{}", self.said());
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its own child only; an error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One HTTP/1.1 exchange on loopback; status and body.
fn send(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<(u16, String)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let extra: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n{extra}\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

/// moto: ECS, ECR, EC2, IAM, STS, Logs, tagging. No CloudWatch for Rust: it does not speak CBOR.
pub struct Moto {
    process: Process,
}

impl Moto {
    /// Starts moto, tuned as docs/testing.md says.
    pub fn start() -> Self {
        let process = Process::start(
            "moto_server",
            &["-H", "127.0.0.1", "-p", "{port}"],
            &[("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")],
            "/moto-api/data.json",
        );
        let moto = Self { process };
        moto.reset();
        moto
    }

    fn tune(&self) {
        let transition = r#"{"model_name":"ecs::task","transition":{"progression":"manual","times":1000000}}"#;
        self.ask("/moto-api/state-manager/set-transition", &[("Content-Type", "application/json")], transition);
    }

    /// Forgets everything that was made, for the next test on the same server.
    pub fn reset(&self) {
        self.ask("/moto-api/reset", &[], "");
        self.tune();
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.process.port)
    }

    /// moto's EC2, asked without an SDK.
    pub fn ec2(&self) -> Ec2 {
        Ec2 { port: self.process.port }
    }

    fn ask(&self, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let (status, answer) = send(self.process.port, "POST", path, headers, body).unwrap();
        assert!(matches!(status, 200 | 201), "moto answered {status} to {path}: {answer}");
        answer
    }

    /// From now until the guard is dropped, every network interface that appears is given one of `addresses` in turn
    /// (AWS would give a Fargate task one at RUNNING; moto gives none). Loopback addresses are accepted, so that a
    /// test's own server can stand for the container.
    pub fn give_addresses(&self, addresses: &[Ipv4Addr]) -> GivingAddresses {
        assert!(!addresses.is_empty(), "nothing to give");
        let stop = Arc::new(AtomicBool::new(false));
        let given = Arc::new(Mutex::new(Vec::new()));
        let worker = {
            let (stop, given) = (Arc::clone(&stop), Arc::clone(&given));
            let (ec2, addresses) = (self.ec2(), addresses.to_vec());
            thread::spawn(move || {
                let mut seen = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    for interface in ec2.interfaces() {
                        if seen.insert(interface.clone()) {
                            let address = addresses[(seen.len() - 1) % addresses.len()];
                            ec2.associate(&interface, address);
                            given.lock().unwrap().push((interface, address));
                        }
                    }
                    thread::sleep(Duration::from_millis(50));
                }
            })
        };
        GivingAddresses { stop, given, worker: Some(worker) }
    }
}

/// The stated fixture for moto's missing public addresses; see [`Moto::give_addresses`].
pub struct GivingAddresses {
    stop: Arc<AtomicBool>,
    given: Arc<Mutex<Vec<(String, Ipv4Addr)>>>,
    worker: Option<thread::JoinHandle<()>>,
}

impl GivingAddresses {
    /// Which interface got which address so far.
    pub fn given(&self) -> Vec<(String, Ipv4Addr)> {
        self.given.lock().unwrap().clone()
    }
}

impl Drop for GivingAddresses {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take()
            && worker.join().is_err()
            && !thread::panicking()
        {
            panic!("the fixture that gives addresses on moto failed after {:?}; see its message above", self.given());
        }
    }
}

/// An emulator's EC2 query protocol; neither emulator checks a signature.
pub struct Ec2 {
    port: u16,
}

impl Ec2 {
    /// One call as a query string without `Version`; the XML answered, empty when the emulator is being ended.
    pub fn ask(&self, form: &str) -> String {
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            // emulators tell services apart by the credential's scope
            (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=fixture/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0",
            ),
        ];
        let body = format!("{form}&Version=2016-11-15");
        let (status, answer) = send(self.port, "POST", "/", &headers, &body).unwrap_or_default();
        assert!(status == 200 || status == 0, "the emulator answered {status} to {form}: {answer}");
        answer
    }

    /// The ids of all security groups.
    pub fn security_groups(&self) -> BTreeSet<String> {
        let answer = self.ask("Action=DescribeSecurityGroups");
        let items = values_of(&answer, "groupId").into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
        assert!(!items.is_empty(), "not even the default group: {answer}");
        items
    }

    /// Gives the default VPC what it has on AWS: a route 0.0.0.0/0 to an attached internet gateway.
    pub fn open_default_vpc(&self) {
        let vpcs = self.ask("Action=DescribeVpcs&Filter.1.Name=is-default&Filter.1.Value.1=true");
        let vpc = *values_of(&vpcs, "vpcId").first().unwrap_or_else(|| panic!("no default VPC: {vpcs}"));
        let of_vpc = |name: &str| format!("Filter.1.Name={name}&Filter.1.Value.1={vpc}");
        let attached = self.ask(&format!("Action=DescribeInternetGateways&{}", of_vpc("attachment.vpc-id")));
        let gateway = match values_of(&attached, "internetGatewayId").first() {
            Some(gateway) => (*gateway).to_owned(),
            None => {
                let made = self.ask("Action=CreateInternetGateway");
                let made = values_of(&made, "internetGatewayId")[0].to_owned();
                self.ask(&format!("Action=AttachInternetGateway&InternetGatewayId={made}&VpcId={vpc}"));
                made
            }
        };
        let tables = self.ask(&format!("Action=DescribeRouteTables&{}", of_vpc("vpc-id")));
        let table = values_of(&tables, "routeTableId")[0];
        self.ask(&format!(
            "Action=CreateRoute&RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0&GatewayId={gateway}"
        ));
    }

    fn interfaces(&self) -> BTreeSet<String> {
        let answer = self.ask("Action=DescribeNetworkInterfaces");
        values_of(&answer, "networkInterfaceId").into_iter().map(str::to_owned).collect()
    }

    fn associate(&self, interface: &str, address: Ipv4Addr) {
        let allocated = self.ask(&format!("Action=AllocateAddress&Domain=vpc&Address={address}"));
        if let [allocation] = values_of(&allocated, "allocationId")[..] {
            self.ask(&format!("Action=AssociateAddress&AllocationId={allocation}&NetworkInterfaceId={interface}"));
        }
    }
}

fn values_of<'a>(xml: &'a str, tag: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).collect()
}

/// ministack with cbor2: CloudWatch over CBOR. Gives Fargate tasks no interface at all.
pub struct Ministack {
    process: Process,
}

impl Ministack {
    /// Starts ministack on loopback only, without its other ports and without Docker.
    pub fn start() -> Self {
        let process = Process::start(
            "ministack",
            &[],
            &[
                ("GATEWAY_PORT", "{port}"),
                ("BIND_HOST", "127.0.0.1"),
                ("IOT_MTLS_ENABLED", "0"),
                ("SFTP_ENABLED", "0"),
                ("DOCKER_HOST", "unix:///nonexistent/docker.sock"),
            ],
            "/_ministack/health",
        );
        Self { process }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.process.port)
    }

    /// ministack's EC2, asked without an SDK.
    pub fn ec2(&self) -> Ec2 {
        Ec2 { port: self.process.port }
    }
}
