//! A price file of AWS's shape and size, read: time, throughput, and the memory it takes.
//!
//! `cargo bench --bench rates` makes a file of `LABGUARD_BENCH_MB` megabytes (300 by default), nearly all of it products
//! that are none of ours, and prints for it plain, with its terms first (two passes), and gzipped: seconds, MB/s of JSON,
//! and the most memory that was resident, before and after.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use labguard::{domain::model::Item, rates};
use tokio::time::Instant;

/// Products of ours, by usage type and price.
const OURS: [(&str, &str); 3] = [
    ("USE1-Fargate-vCPU-Hours:perCPU", "0.0404800000"),
    ("USE1-Fargate-GB-Hours", "0.0044450000"),
    ("USE1-Fargate-ARM-vCPU-Hours:perCPU", "0.0323800000"),
];

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let megabytes = if std::env::args().any(|argument| argument == "--bench") {
        std::env::var("LABGUARD_BENCH_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
    } else {
        1
    };
    let folder = tempfile::tempdir().unwrap();
    let usual = folder.path().join("index.json");
    let reversed = folder.path().join("reversed.json");
    let packed = folder.path().join("index.json.gz");
    let products = make(&usual, megabytes, false);
    make(&reversed, megabytes, true);
    let mut encoder =
        flate2::write::GzEncoder::new(BufWriter::new(File::create(&packed).unwrap()), flate2::Compression::fast());
    std::io::copy(&mut File::open(&usual).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap().flush().unwrap();

    let size = std::fs::metadata(&usual).unwrap().len();
    println!("price file: {} MB, {products} products, {} of them ours", size / 1_000_000, OURS.len());
    println!("resident before: {} MB at most", peak() / 1_000_000);
    for (name, path) in [("plain", &usual), ("terms first", &reversed), ("gzipped", &packed)] {
        let began = Instant::now();
        let imported = rates::read(path, name, None).unwrap();
        let seconds = began.elapsed().as_secs_f64();
        assert_eq!(imported.count(), OURS.len());
        assert_eq!(imported.prices["us-east-1"][&Item::VcpuX86].amount.exact(), "0.04048 USD");
        println!(
            "{name}: {seconds:.2} s, {:.0} MB/s; resident after: {} MB at most",
            size as f64 / 1e6 / seconds,
            peak() / 1_000_000
        );
    }
}

/// The most memory that this process ever had resident, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// Writes a file as AWS does, of about that size; how many products it has.
fn make(path: &Path, megabytes: u64, terms_first: bool) -> u64 {
    /// Bytes of one product with its terms, roughly.
    const EACH: u64 = 1_480;
    let mut file = BufWriter::new(File::create(path).unwrap());
    let foreign = (megabytes * 1_000_000 / EACH).max(10);
    write!(
        file,
        "{{\n  \"formatVersion\" : \"v1.0\",\n  \"disclaimer\" : \"This pricing list is for informational purposes only.\",\n  \
         \"offerCode\" : \"AmazonECS\",\n  \"version\" : \"20260929154530\",\n  \"publicationDate\" : \"2026-09-29T15:45:30Z\""
    )
    .unwrap();
    if terms_first {
        terms(&mut file, foreign);
        products(&mut file, foreign);
    } else {
        products(&mut file, foreign);
        terms(&mut file, foreign);
    }
    write!(file, "\n}}\n").unwrap();
    file.flush().unwrap();
    foreign + OURS.len() as u64
}

/// Ours stand in the middle of the others.
fn each(foreign: u64) -> impl Iterator<Item = (String, String, &'static str)> {
    let other = |number: u64| (format!("SKU{number:013}"), format!("USE1-ECS-Else-{number}-Hours"), "0.0123456789");
    let ours =
        OURS.iter().enumerate().map(|(at, (usage, price))| (format!("OURS{at:012}"), (*usage).to_owned(), *price));
    (0..foreign / 2).map(other).chain(ours).chain((foreign / 2..foreign).map(other))
}

fn products(file: &mut impl Write, foreign: u64) {
    write!(file, ",\n  \"products\" : {{").unwrap();
    for (at, (sku, usage, _)) in each(foreign).enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(
            file,
            "{comma}\n    \"{sku}\" : {{\n      \"sku\" : \"{sku}\",\n      \"productFamily\" : \"Compute\",\n      \"attributes\" : {{\n        \
             \"servicecode\" : \"AmazonECS\",\n        \"location\" : \"US East (N. Virginia)\",\n        \
             \"locationType\" : \"AWS Region\",\n        \"instanceType\" : \"m5d.metal\",\n        \"currentGeneration\" : \"Yes\",\n        \
             \"physicalProcessor\" : \"Intel Xeon Platinum 8175 (Skylake)\",\n        \"clockSpeed\" : \"2.5 GHz\",\n        \
             \"networkPerformance\" : \"25 Gigabit\",\n        \"processorFeatures\" : \"Intel AVX; Intel AVX2; Intel AVX512\",\n        \
             \"usagetype\" : \"{usage}\",\n        \"operation\" : \"\",\n        \"regionCode\" : \"us-east-1\",\n        \
             \"servicename\" : \"Amazon Elastic Container Service\"\n      }}\n    }}"
        )
        .unwrap();
    }
    write!(file, "\n  }}").unwrap();
}

fn terms(file: &mut impl Write, foreign: u64) {
    write!(file, ",\n  \"terms\" : {{\n    \"OnDemand\" : {{").unwrap();
    for (at, (sku, usage, price)) in each(foreign).enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(
            file,
            "{comma}\n      \"{sku}\" : {{\n        \"{sku}.JRTCKXETXF\" : {{\n          \"offerTermCode\" : \"JRTCKXETXF\",\n          \
             \"sku\" : \"{sku}\",\n          \"effectiveDate\" : \"2026-09-01T00:00:00Z\",\n          \"priceDimensions\" : {{\n            \
             \"{sku}.JRTCKXETXF.6YS6EN2CT7\" : {{\n              \"rateCode\" : \"{sku}.JRTCKXETXF.6YS6EN2CT7\",\n              \
             \"description\" : \"${price} per hour for {usage} in US East (N. Virginia)\",\n              \"beginRange\" : \"0\",\n              \
             \"endRange\" : \"Inf\",\n              \"unit\" : \"hours\",\n              \"pricePerUnit\" : {{\n                \
             \"USD\" : \"{price}\"\n              }},\n              \"appliesTo\" : [ ]\n            }}\n          }},\n          \
             \"termAttributes\" : {{ }}\n        }}\n      }}"
        )
        .unwrap();
    }
    write!(file, "\n    }}\n  }}").unwrap();
}
