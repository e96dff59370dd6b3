//! Real containers: started from an image, stopped in time, and gone with their sandbox even when it is killed.
//!
//! Has its own `main`, because this program is also the launcher (`__contain`) and, once, the sandbox that is killed.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::BTreeMap,
        fs,
        io::Write,
        path::{Path, PathBuf},
        process::Command,
        sync::Arc,
        time::Duration,
    };

    use bytes::Bytes;
    use flate2::{Compression, write::GzEncoder};
    use labguard::{
        domain::model::{Span, Timestamp},
        sandbox::runtime::{
            ContainerEvent, ContainerKey, ContainerSpec, Containers, Happening, Image, Layer, Processes, contain_main,
        },
    };

    const NOW: Timestamp = Timestamp::MAX;

    pub fn main() {
        let mut args = std::env::args_os().skip(1);
        match args.next().as_ref().and_then(|first| first.to_str()) {
            Some("__contain") => {
                eprintln!("{}", contain_main(args));
                std::process::exit(126);
            }
            Some("__victim") => victim(Path::new(&args.next().expect("a folder"))),
            Some("--list") => println!("sandbox_processes: test"),
            _ => {
                let tests: [(&str, fn()); 3] = [
                    ("a_container_runs_its_images_program_with_its_own_address_and_ends_by_sigterm", ends_by_sigterm),
                    ("a_container_that_ignores_sigterm_is_killed_and_its_exit_code_is_137", is_killed),
                    ("no_container_outlives_a_sandbox_killed_with_sigkill", dies_with_the_sandbox),
                ];
                for (name, test) in tests {
                    test();
                    println!("test {name} ... ok");
                }
            }
        }
    }

    fn image() -> Image {
        let shell = fs::read("/bin/sh").expect("a shell to put into the image");
        let mut header = tar::Header::new_gnu();
        header.set_size(shell.len() as u64);
        header.set_mode(0o755);
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        builder.append_data(&mut header, "app/run", shell.as_slice()).unwrap();
        let data = Bytes::from(builder.into_inner().unwrap().finish().unwrap());
        Image {
            digest: "sha256:0123".to_owned(),
            config: serde_json::json!({"config": {"Entrypoint": ["/app/run", "-c"], "Cmd": ["exit 9"], "Env": ["A=image"]}}),
            layers: vec![Layer {
                media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
                data: Arc::new(data),
            }],
        }
    }

    fn spec(processes: &Processes, script: &str, environment: &[(&str, &str)]) -> ContainerSpec {
        let pairs = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        ContainerSpec {
            key: ContainerKey { task: "t".to_owned(), name: "app".to_owned() },
            reference: "lab/app:1".to_owned(),
            image: Some(image()),
            entry_point: None,
            command: Some(vec![script.to_owned()]),
            environment: pairs.collect::<BTreeMap<_, _>>(),
            labels: BTreeMap::new(),
            working_directory: None,
            address: processes.address(),
            port: 5000,
        }
    }

    fn wait_for(processes: &Processes, seen: &mut Vec<Happening>, done: impl Fn(&Happening) -> bool) {
        for _ in 0..200 {
            let new: Vec<ContainerEvent> = processes.poll(NOW);
            seen.extend(new.into_iter().map(|event| event.what));
            if seen.iter().any(&done) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it never came: {seen:?}");
    }

    fn fresh(name: &str) -> (tempfile::TempDir, Processes) {
        let folder = tempfile::Builder::new().prefix(name).tempdir().unwrap();
        let processes = Processes::new(std::env::current_exe().unwrap(), folder.path().join("scratch")).unwrap();
        (folder, processes)
    }

    // Whoever has heard it may end it: what it does then is settled before it speaks.
    const LOYAL: &str = "trap 'exit 5' TERM; echo $A $HOST $PORT; pwd >&2; while :; do sleep 0.1; done";

    fn ends_by_sigterm() {
        let (folder, processes) = fresh("term");
        let spec = spec(&processes, LOYAL, &[]);
        let (key, address) = (spec.key.clone(), spec.address);
        processes.start(spec, NOW);
        let mut seen = Vec::new();
        let hello = format!("image {address} 5000");
        wait_for(&processes, &mut seen, |what| *what == Happening::Output(hello.clone()));
        assert_eq!(seen.first(), Some(&Happening::Started), "its start comes before its words: {seen:?}");
        assert!(address.to_string().starts_with("127."));
        processes.stop(&key, NOW, Span::from_secs(30));
        wait_for(&processes, &mut seen, |what| *what == Happening::Exited { code: 5, reason: None });
        drop(processes);
        assert_eq!(fs::read_dir(folder.path().join("scratch")).unwrap().count(), 0, "the scratch folder is clean");
    }

    fn is_killed() {
        let (_folder, processes) = fresh("kill");
        let spec = spec(&processes, "trap '' TERM; echo up; while :; do sleep 0.1; done", &[]);
        let key = spec.key.clone();
        processes.start(spec, NOW);
        let mut seen = Vec::new();
        wait_for(&processes, &mut seen, |what| *what == Happening::Output("up".to_owned()));
        processes.stop(&key, NOW, Span::from_millis(300));
        wait_for(&processes, &mut seen, |what| *what == Happening::Exited { code: 137, reason: None });
    }

    /// The sandbox that is going to be killed.
    fn victim(folder: &Path) {
        let processes = Processes::new(std::env::current_exe().unwrap(), folder.join("scratch")).unwrap();
        let file = folder.join("pid");
        let script = "echo $$ > $FILE.new; mv $FILE.new $FILE; while :; do sleep 0.1; done";
        processes.start(spec(&processes, script, &[("FILE", file.to_str().unwrap())]), NOW);
        std::thread::sleep(Duration::from_secs(60));
    }

    fn until(what: &str, done: impl Fn() -> bool) {
        for _ in 0..200 {
            if done() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{what} never came");
    }

    fn dies_with_the_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let mut sandbox =
            Command::new(std::env::current_exe().unwrap()).arg("__victim").arg(folder.path()).spawn().unwrap();
        let file: PathBuf = folder.path().join("pid");
        until("the container", || file.exists());
        let pid = fs::read_to_string(&file).unwrap().trim().to_owned();
        let alive = || {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z ")
        };
        assert!(alive(), "the container runs");
        sandbox.kill().unwrap();
        sandbox.wait().unwrap();
        until("the container's end", || !alive());
        let scratch = folder.path().join("scratch");
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 1, "a killed sandbox cannot tidy up");
        let next = Processes::new(std::env::current_exe().unwrap(), scratch.clone()).unwrap();
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 1, "the next one removes its folder and has its own");
        drop(next);
        std::io::stdout().flush().unwrap();
    }
}
