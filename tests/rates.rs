//! Prices by the real binary: shown, taken from files, addresses and AWS's Price List, and taken up by a running daemon.
//!
//! Files are made here in AWS's shape; addresses are this test's own; the Price List is the sandbox's. What is taken of a
//! file is read a second time by a program in Python that shares nothing with labguard.

#[path = "support/house.rs"]
mod house;
#[path = "support/sandbox_process.rs"]
#[expect(dead_code, reason = "nothing is left in the sandbox here")]
mod sandbox_process;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use house::House;
use labguard::domain::{
    meter::RateBook,
    model::{Basis, Item, Money},
};
use sandbox_process::Sandbox;
use serde_json::{Value, json};

/// AWS's price file of Fargate in us-east-1, with one price per vCPU and others beside it.
fn price_file(vcpu: &str) -> String {
    let product = |sku: &str, usage: &str| {
        json!({ "sku": sku, "productFamily": "Compute", "attributes": {
            "servicecode": "AmazonECS", "regionCode": "us-east-1", "locationType": "AWS Region", "usagetype": usage,
        }})
    };
    let term = |sku: &str, price: &str| {
        let dimension =
            json!({ "unit": "hours", "beginRange": "0", "endRange": "Inf", "pricePerUnit": { "USD": price } });
        json!({ format!("{sku}.J"): { "sku": sku, "priceDimensions": { format!("{sku}.J.6"): dimension } } })
    };
    let file = json!({
        "formatVersion": "v1.0", "offerCode": "AmazonECS", "version": "20261101120000",
        "publicationDate": "2026-11-01T12:00:00Z",
        "products": {
            "A": product("A", "USE1-Fargate-ARM-vCPU-Hours:perCPU"),
            "B": product("B", "USE1-Fargate-vCPU-Hours:perCPU"),
            "C": product("C", "USE1-Fargate-Windows-vCPU-Hours:perCPU"),
        },
        "terms": { "OnDemand": { "A": term("A", "0.0300000000"), "B": term("B", vcpu), "C": term("C", "0.0900000000") } },
    });
    file.to_string()
}

/// A price file of several services and regions, drawn from `seed`: products of ours among such as are easily mistaken for
/// them, tiers, free tiers, units that are not ours.
fn drawn(seed: u64) -> String {
    const REGIONS: [(&str, &str); 5] = [
        ("us-east-1", "USE1-"),
        ("eu-west-1", "EU-"),
        ("eu-central-1", "EUC1-"),
        ("ap-northeast-1", "APN1-"),
        ("ap-south-1", "APS3-"),
    ];
    const USAGES: [(&str, &str, &str); 26] = [
        ("AmazonECS", "Fargate-vCPU-Hours:perCPU", "hours"),
        ("AmazonECS", "Fargate-GB-Hours", "Hrs"),
        ("AmazonECS", "Fargate-ARM-vCPU-Hours:perCPU", "hours"),
        ("AmazonECS", "Fargate-ARM-GB-Hours", "hours"),
        ("AmazonECS", "Fargate-Windows-vCPU-Hours:perCPU", "hours"),
        ("AmazonECS", "Fargate-Windows-GB-Hours", "hours"),
        ("AmazonECS", "Fargate-Windows-OS-Hours:perCPU", "hours"),
        ("AmazonECS", "SpotUsage-Fargate-vCPU-Hours:perCPU", "hours"),
        ("AmazonECS", "SpotUsage:Fargate-ARM-GB-Hours", "hours"),
        ("AmazonECS", "ECS-EC2-vCPU-Hours", "vCPU-Hours"),
        ("AmazonECS", "XFargate-GB-Hours", "hours"),
        ("AmazonECS", "Fargate-GB-Hours-Archived", "hours"),
        ("AmazonEKS", "Fargate-vCPU-Hours:perCPU", "hours"),
        ("AmazonECR", "TimedStorage-ByteHrs", "GB-Mo"),
        ("AmazonS3", "TimedStorage-ByteHrs", "GB-Mo"),
        ("AmazonCloudWatch", "TimedStorage-ByteHrs", "GB-Mo"),
        ("AmazonCloudWatch", "TimedStorage-ByteHrs", "Hrs"),
        ("AmazonCloudWatch", "DataProcessing-Bytes", "GB"),
        ("AmazonCloudWatch", "DataProcessing-Bytes", "GB-Mo"),
        ("AmazonCloudWatch", "DataProcessingIA-Bytes", "GB"),
        ("AmazonCloudWatch", "CW:MetricMonitorUsage", "Metrics"),
        ("AmazonCloudWatch", "CW:Requests", "Requests"),
        ("AmazonCloudWatch", "CW:GMD-Requests", "Requests"),
        ("AmazonVPC", "PublicIPv4:InUseAddress", "Hrs"),
        ("AmazonVPC", "PublicIPv4:IdleAddress", "Hrs"),
        ("AmazonVPC", "PublicIPv4:InUseAddress:More", "Hrs"),
    ];
    let mut dice = fastrand::Rng::with_seed(seed);
    let (mut products, mut terms) = (serde_json::Map::new(), serde_json::Map::new());
    for number in 0..dice.usize(60..200) {
        let sku = format!("SKU{number:08}");
        let (region, own) = REGIONS[dice.usize(..REGIONS.len())];
        let (service, usage, unit) = USAGES[dice.usize(..USAGES.len())];
        // Mostly the region's own prefix; sometimes another's, none, or one that only looks like one.
        let prefix = match dice.u8(..20) {
            0 => "",
            1 => "TS-",
            2 => REGIONS[dice.usize(..REGIONS.len())].1,
            _ => own,
        };
        let place = if dice.u8(..12) == 0 { "AWS Local Zone" } else { "AWS Region" };
        let attributes = json!({
            "servicecode": service, "regionCode": region, "locationType": place, "usagetype": format!("{prefix}{usage}"),
        });
        products.insert(sku.clone(), json!({ "sku": sku, "attributes": attributes }));
        let mut dimensions = serde_json::Map::new();
        for tier in 0..dice.u8(1..4) {
            let price = match dice.u8(..5) {
                0 => "0.0000000000".to_owned(),
                1 => format!("{}", dice.u32(1..30)),
                _ => {
                    format!("{}.{:010}{}", dice.u32(..3), dice.u64(..10_000_000_000), ["", "7", "003"][dice.usize(..3)])
                }
            };
            let dimension = json!({ "unit": unit, "beginRange": tier.to_string(), "pricePerUnit": { "USD": price } });
            dimensions.insert(format!("{sku}.J.{tier}"), dimension);
        }
        terms.insert(sku.clone(), json!({ format!("{sku}.J"): { "sku": sku, "priceDimensions": dimensions } }));
    }
    let mut parts = vec![("products", Value::Object(products)), ("terms", json!({ "OnDemand": terms }))];
    if dice.bool() {
        parts.reverse();
    }
    let head = json!({
        "formatVersion": "v1.0", "offerCode": "Everything", "version": "1", "publicationDate": "2026-11-01T12:00:00Z",
    });
    let mut file = head.as_object().unwrap().clone();
    file.extend(parts.into_iter().map(|(name, part)| (name.to_owned(), part)));
    Value::Object(file).to_string()
}

#[test]
fn another_reader_in_python_takes_the_same_prices() {
    let binary = Path::new(env!("CARGO_BIN_EXE_labguard"));
    let python = binary.ancestors().nth(2).expect("target/<profile>/labguard").join("venv/bin/python");
    assert!(python.exists(), "{} is missing: run ./test (or ./test --prepare) first", python.display());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.json");
    let mut compared = 0;
    for seed in 0..12 {
        fs::write(&path, drawn(seed)).unwrap();
        let done = Command::new(&python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/read_prices.py"))
            .arg(&path)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", said(&done));
        let theirs: BTreeMap<String, i64> = serde_json::from_slice(&done.stdout).unwrap();
        let ours: BTreeMap<String, i64> = labguard::rates::read(&path, "index.json", None)
            .unwrap()
            .prices
            .iter()
            .flat_map(|(region, prices)| {
                prices.iter().map(move |(item, price)| (format!("{region} {}", item.key()), price.amount.nanos()))
            })
            .collect();
        assert_eq!(ours, theirs, "seed {seed}");
        compared += ours.len();
    }
    assert!(compared > 200, "only {compared} prices were compared");
}

fn write(house: &House, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = house.folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn kept(house: &House) -> PathBuf {
    house.folder.path().join("state/rates.json")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn price(document: &Value, item: &str) -> Value {
    let prices = document["prices"].as_array().unwrap();
    prices.iter().find(|price| price["item"] == item).unwrap_or_else(|| panic!("{item} in {document}")).clone()
}

#[test]
fn prices_are_shown_with_their_unit_age_and_source() {
    let house = House::new();
    let table = house.text(&["rates"]);
    assert!(table.starts_with("prices in us-east-1\n"), "{table}");
    let line = table.lines().find(|line| line.starts_with("vcpu_x86 ")).unwrap();
    assert!(line.contains("0.04048 USD") && line.contains("vCPU-hour") && line.contains("published"), "{line}");

    let shown = house.json(&["rates", "--region", "eu-central-1"]);
    assert_eq!(shown["region"], "eu-central-1");
    assert_eq!(price(&shown, "vcpu_x86")["amount"], "0.04656 USD");
    assert_eq!(price(&shown, "secret")["basis"], "estimated");
    assert_eq!(price(&shown, "vcpu_windows")["old"], true, "it is of 2024");

    let young = house.run(&["rates", "--set", "daemon.rates_max_age=never"]);
    assert!(!said(&young).contains("older than"), "{}", said(&young));
    let old = house.run(&["rates", "--set", "daemon.rates_max_age=30d"]);
    assert!(
        said(&old).contains("older than 30 days") && said(&old).contains("Windows licence (2024-01-01)"),
        "{}",
        said(&old)
    );

    let nowhere = house.run(&["rates", "--region", "us-eest-1"]);
    assert_eq!(nowhere.status.code(), Some(5));
    assert!(said(&nowhere).contains("no price is known in us-eest-1") && said(&nowhere).contains("us-east-2"));
}

#[test]
fn a_price_file_is_taken_and_the_configuration_s_word_still_goes_before_it() {
    let house = House::new();
    let file = write(&house, "index.json", price_file("0.0500000000"));
    let taken = house.json(&["rates", "import", &file]);
    assert_eq!((&taken["taken"], &taken["sources"][0]), (&json!(3), &json!("AmazonECS 20261101120000")));
    assert_eq!(taken["changes"][0]["now"], "0.05 USD");

    let shown = house.json(&["rates"]);
    let vcpu = price(&shown, "vcpu_x86");
    assert_eq!(
        (&vcpu["amount"], &vcpu["basis"], &vcpu["as_of"]),
        (&json!("0.05 USD"), &json!("imported"), &json!("2026-11-01"))
    );
    assert_eq!(price(&shown, "memory_x86")["basis"], "published");

    // The same again changes nothing; a later file replaces the one price.
    assert_eq!(house.json(&["rates", "import", &file])["changes"], json!([]));
    let later = write(&house, "later.json", price_file("0.0510000000"));
    let changes = house.json(&["rates", "import", &later])["changes"].clone();
    assert_eq!((changes.as_array().unwrap().len(), &changes[0]["before"]), (1, &json!("0.05 USD")));

    let given = ["--set", "rates.us-east-1.vcpu_x86=\"0.07 USD\""];
    let vcpu = price(&house.json(&[&["rates"][..], &given].concat()), "vcpu_x86");
    assert_eq!((&vcpu["amount"], &vcpu["basis"], &vcpu["as_of"]), (&json!("0.07 USD"), &json!("given"), &Value::Null));
    let import = house.run(&[&["rates", "import", &later][..], &given].concat());
    assert!(
        said(&import)
            .contains("[rates] of the configuration goes before what was taken for: Fargate vCPU in us-east-1")
    );
    assert!(
        house.text(&[&["config", "show"][..], &given].concat()).contains("[rates.us-east-1]\nvcpu_x86 = \"0.07 USD\"")
    );
}

#[test]
fn a_bad_file_changes_nothing_and_what_is_kept_is_never_overwritten_where_it_cannot_be_read() {
    let house = House::new();
    let good = write(&house, "good.json", price_file("0.0500000000"));
    house.text(&["rates", "import", &good]);
    let before = fs::read_to_string(kept(&house)).unwrap();
    let whole = price_file("0.0600000000");
    for (name, bytes, why) in [
        ("cut.json", whole[..whole.len() / 2].to_owned(), "ends in the middle"),
        ("page.json", "<html>".to_owned(), "is no price file of AWS's"),
        ("yuan.json", whole.replace("USD", "CNY"), "are in CNY"),
        ("none.json", whole.replace("Fargate", "Else"), "no price that labguard knows"),
    ] {
        let file = write(&house, name, bytes);
        let refused = house.run(&["rates", "import", &file]);
        assert_eq!(refused.status.code(), Some(6), "{name}: {}", said(&refused));
        assert!(said(&refused).contains(why) && said(&refused).contains(name), "{}", said(&refused));
        assert!(refused.stdout.is_empty());
        assert_eq!(fs::read_to_string(kept(&house)).unwrap(), before);
    }
    let missing = house.run(&["rates", "import", "nowhere.json"]);
    assert_eq!(missing.status.code(), Some(6));
    assert!(said(&missing).contains("nowhere.json cannot be read"), "{}", said(&missing));

    fs::write(kept(&house), &before[..before.len() / 2]).unwrap();
    for arguments in [&["rates"][..], &["rates", "import", &good], &["run"]] {
        let refused = house.run(arguments);
        assert_eq!(refused.status.code(), Some(9), "{arguments:?}: {}", said(&refused));
        assert!(said(&refused).contains("rates.json cannot be used"), "{}", said(&refused));
        assert_eq!(fs::read_to_string(kept(&house)).unwrap(), before[..before.len() / 2]);
    }
    for wrong in [
        &["rates", "import"][..],
        &["rates", "import", "--offer", "AmazonEC2"],
        &["rates", "import", "x", "--offer", "AmazonECS"],
    ] {
        assert_eq!(house.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// Answers each connection with the next of these; its address.
fn serve(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/index.json", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    url
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn a_price_file_is_fetched_whole_or_not_at_all() {
    let house = House::new();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(price_file("0.0500000000").as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let whole = http("200 OK", "Content-Encoding: gzip\r\n", &packed);
    let mut broken = whole.clone();
    broken.truncate(whole.len() - 20);
    let moved = http("301 Moved Permanently", "Location: https://elsewhere.example/index.json\r\n", b"");
    let url = serve(vec![broken, moved, http("404 Not Found", "", b"no"), whole]);
    for why in ["cannot be fetched", "301 Moved Permanently, and names https://elsewhere.example", "it answers 404"] {
        let refused = house.run(&["rates", "import", &url]);
        assert_eq!(refused.status.code(), Some(8), "{}", said(&refused));
        assert!(said(&refused).contains(why), "{why}: {}", said(&refused));
        assert!(!kept(&house).exists());
    }
    let taken = house.json(&["rates", "import", &url, "--region", "us-east-1"]);
    assert_eq!(taken["taken"], 3);
    let left: Vec<_> =
        fs::read_dir(house.folder.path().join("state")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| ["rates.json", "rates.lock"].contains(&name.to_str().unwrap())), "{left:?}");
    // Port 9 (discard) is not listened on.
    let nobody = house.run(&["rates", "import", "http://127.0.0.1:9/index.json"]);
    assert_eq!(nobody.status.code(), Some(8), "{}", said(&nobody));
}

#[test]
fn the_price_list_is_asked_page_by_page_and_gives_what_ships_with_labguard() {
    let house = House::new();
    let refused = house.run(&["rates", "refresh"]);
    assert_eq!(refused.status.code(), Some(6));
    assert!(said(&refused).contains("aws.sandbox.enabled"), "{}", said(&refused));

    let sandbox = Sandbox::start(house.folder.path());
    let endpoint = format!("aws.endpoints.pricing={}", sandbox.url);
    let on = ["--set", "aws.sandbox.enabled=false", "--set", &endpoint];
    let taken = house.json(&[&["rates", "refresh"][..], &on].concat());
    assert_eq!(taken["taken"], 16, "{taken}");
    let shipped = RateBook::embedded().card("us-east-1");
    let shown = house.json(&["rates"]);
    for item in Item::ALL {
        let (now, before) = (price(&shown, item.key()), shipped.price(item).unwrap());
        if now["basis"] == "imported" {
            assert_eq!(before.basis, Basis::Published, "{item}");
        }
        assert_eq!(now["amount"], json!(before.amount), "{item}");
    }
    assert!(price(&shown, "metric")["source"].as_str().unwrap().ends_with("dearest of 3 tiers"));

    let elsewhere = house.json(&[&["rates", "refresh", "--region", "eu-central-1"][..], &on].concat());
    assert_eq!(elsewhere["taken"], 2);
    let nowhere = house.run(&[&["rates", "refresh", "--region", "sa-east-1"][..], &on].concat());
    assert_eq!(nowhere.status.code(), Some(6), "{}", said(&nowhere));
    assert!(said(&nowhere).contains("no price that labguard knows of sa-east-1"), "{}", said(&nowhere));
}

#[test]
fn a_running_daemon_takes_up_what_was_imported_and_bills_by_it_from_then_on() {
    let mut house = House::new();
    house.start();
    house.text(&["up", "admission"]);
    let rate = |house: &House| house.json(&["plan", "admission"])["rate"].clone();
    let before = rate(&house);
    let file = write(&house, "index.json", price_file("0.4000000000"));
    house.text(&["rates", "import", &file]);
    house.until("billed by the new price", |house| rate(house) != before);
    assert!(house.log().contains("other prices are in force from now on"), "{}", house.log());
    // A quarter of a vCPU at 0.40 USD an hour, and what else it costs.
    let costs = |house: &House| {
        let rate = house.json(&["status", "admission"])["rate"].as_str().map(str::to_owned).unwrap();
        rate.parse::<Money>().unwrap()
    };
    house.until("noted by the session", |house| costs(house) > "0.1 USD".parse().unwrap());

    // What cannot be read changes nothing, and is told.
    let now = rate(&house);
    fs::write(kept(&house), "{").unwrap();
    house.until("told of the damage", |house| house.log().contains("nothing was reloaded, what was in force stays"));
    assert_eq!(rate(&house), now);
    // What it used before the change and after it are two lines.
    let receipt = house.json(&["down", "admission"]);
    let lines = receipt["lines"].as_array().unwrap();
    let logs: Vec<&Value> = lines.iter().filter(|line| line["billed_as"] == "logs_ingested").collect();
    assert_eq!(logs.len(), 2, "{receipt}");
    fs::remove_file(kept(&house)).unwrap();
    assert_eq!(house.end(), Some(0));
}

#[test]
fn a_plan_warns_of_prices_that_are_older_than_they_should_be() {
    let mut house = House::with("[daemon]\nrates_max_age = \"1d\"\n");
    // One section cannot stand twice.
    house.rewrite(|text| {
        text.replacen("[daemon]\nrates_max_age = \"1d\"\n", "", 1).replacen(
            "[daemon]\n",
            "[daemon]\nrates_max_age = \"1d\"\n",
            1,
        )
    });
    house.start();
    let plan = house.json(&["plan", "admission"]);
    assert!(plan["warnings"].to_string().contains("older than 1 day"), "{plan}");
    assert!(house.log().contains("older than 1 day"), "{}", house.log());
    assert!(Path::new(&house.folder.path().join("state")).exists());
    assert_eq!(house.end(), Some(0));
}
