//! The file in the state folder that holds what was imported: region → item → price.
//!
//! Guarantees: written beside and moved into place, so that it is whole at any moment; two imports at once do not lose
//! each other's prices; what cannot be read is never overwritten. Must never hold a price of the configuration.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::error::RatesError;
use crate::domain::{
    meter::Corrections,
    model::{Basis, Item, Money, Price},
};

/// The form that this version writes and reads.
const FORM: u32 = 1;

/// Larger files are not ours.
const LARGEST: u64 = 16 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    labguard_rates: u32,
    regions: BTreeMap<String, BTreeMap<Item, Kept>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    amount: Money,
    as_of: String,
    source: String,
}

/// What an import changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which region.
    pub region: String,
    /// Of what.
    pub item: Item,
    /// What was kept before.
    pub before: Option<Price>,
    /// What is kept now.
    pub now: Price,
}

/// What is kept; nothing where there is no file.
///
/// # Errors
/// When it cannot be read, or is not a file that labguard wrote.
pub fn kept(path: &Path) -> Result<Corrections, RatesError> {
    let unusable = |why: String| RatesError::Kept { path: path.to_path_buf(), why };
    let text = match fs::metadata(path) {
        Ok(found) if found.len() > LARGEST => {
            return Err(unusable("it is larger than any that labguard writes".into()));
        }
        Ok(_) => fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Corrections::new()),
        Err(error) => return Err(unusable(error.to_string())),
    };
    // The form first: another one may have other members.
    let form = serde_json::from_str::<serde_json::Value>(&text).map_err(|error| unusable(error.to_string()))?;
    match form["labguard_rates"].as_u64() {
        Some(form) if form == u64::from(FORM) => {}
        Some(other) => return Err(unusable(format!("its form is {other}, and this version of labguard knows {FORM}"))),
        None => return Err(unusable("labguard did not write it".into())),
    }
    let document: Document = serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    let mut prices = Corrections::new();
    for (region, items) in document.regions {
        for (item, it) in items {
            if it.amount < Money::ZERO {
                return Err(unusable(format!("the price of {item} in {region} is below nothing")));
            }
            let price = Price { amount: it.amount, basis: Basis::Imported, as_of: it.as_of, source: it.source };
            prices.entry(region.clone()).or_default().insert(item, price);
        }
    }
    Ok(prices)
}

/// Adds prices to what is kept. What changed, of all that was given.
///
/// # Errors
/// As [`kept`]; and when it cannot be written. Nothing was changed then.
pub fn keep(path: &Path, prices: &Corrections) -> Result<Vec<Change>, RatesError> {
    let unwritable = |source| RatesError::Unwritable { path: path.to_path_buf(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(unwritable)?;
    let _alone = alone(path).map_err(unwritable)?;
    let mut all = kept(path)?;
    let mut changes = Vec::new();
    for (region, items) in prices {
        for (item, price) in items {
            let before = all.entry(region.clone()).or_default().insert(*item, price.clone());
            if before.as_ref() != Some(price) {
                changes.push(Change { region: region.clone(), item: *item, before, now: price.clone() });
            }
        }
    }
    write(path, folder, &all).map_err(unwritable)?;
    Ok(changes)
}

/// One import at a time. The lock goes with the handle, also when the process dies.
fn alone(path: &Path) -> io::Result<File> {
    let lock = File::options().create(true).truncate(false).write(true).open(path.with_extension("lock"))?;
    lock.lock()?;
    Ok(lock)
}

fn write(path: &Path, folder: &Path, all: &Corrections) -> io::Result<()> {
    let kept = |price: &Price| Kept { amount: price.amount, as_of: price.as_of.clone(), source: price.source.clone() };
    let regions = all
        .iter()
        .map(|(region, items)| (region.clone(), items.iter().map(|(item, price)| (*item, kept(price))).collect()))
        .collect();
    let text = serde_json::to_string_pretty(&Document { labguard_rates: FORM, regions })?;
    let mut file = beside(folder)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The name is durable only when the folder is.
    File::open(folder)?.sync_all()
}

/// Prices are no secret: a daemon of another user may read them.
fn beside(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".rates-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o644));
    }
    builder.tempfile_in(folder)
}

/// Where it is in a state folder.
#[must_use]
pub fn path_in(folder: &Path) -> PathBuf {
    folder.join("rates.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(region: &str, item: Item, nanos: i64) -> Corrections {
        let price = Price {
            amount: Money::from_nanos(nanos),
            basis: Basis::Imported,
            as_of: "2026-09-29".to_owned(),
            source: "AmazonECS 20260929".to_owned(),
        };
        BTreeMap::from([(region.to_owned(), BTreeMap::from([(item, price)]))])
    }

    #[test]
    fn imports_add_up_and_the_later_of_one_price_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(&folder.path().join("state"));
        assert_eq!(kept(&path).unwrap(), Corrections::new());
        assert_eq!(keep(&path, &prices("us-east-1", Item::VcpuX86, 7)).unwrap().len(), 1);
        assert_eq!(keep(&path, &prices("us-east-1", Item::MemoryX86, 8)).unwrap().len(), 1);
        assert_eq!(keep(&path, &prices("us-east-1", Item::MemoryX86, 8)).unwrap(), []);
        let changes = keep(&path, &prices("us-east-1", Item::VcpuX86, 9)).unwrap();
        assert_eq!(changes[0].before.as_ref().map(|price| price.amount.nanos()), Some(7));
        let all = kept(&path).unwrap();
        assert_eq!(all["us-east-1"][&Item::VcpuX86].amount.nanos(), 9);
        assert_eq!(all["us-east-1"][&Item::MemoryX86].basis, Basis::Imported);
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn what_labguard_did_not_write_is_refused_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(folder.path());
        for (text, why) in [
            ("", "EOF"),
            ("{\"labguard_rates\": 1, \"regions\": {", "EOF"),
            ("[]", "did not write it"),
            ("{\"labguard_rates\": 2, \"regions\": {}}", "its form is 2"),
            ("{\"labguard_rates\": 1, \"regions\": {}, \"more\": 1}", "unknown field"),
            ("{\"labguard_rates\": 1, \"regions\": {\"us-east-1\": {\"vcpu\": {}}}}", "unknown variant"),
            (
                "{\"labguard_rates\": 1, \"regions\": {\"us-east-1\": {\"vcpu_x86\": {\"amount\": \"-1 USD\", \"as_of\": \"\", \"source\": \"\"}}}}",
                "below nothing",
            ),
        ] {
            fs::write(&path, text).unwrap();
            for error in [kept(&path).unwrap_err(), keep(&path, &prices("us-east-1", Item::VcpuX86, 1)).unwrap_err()] {
                assert!(error.to_string().contains(why), "{text}: {error}");
                assert!(error.to_string().contains("remove that file"), "{error}");
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn many_imports_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(folder.path());
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || keep(path, &prices(&format!("xx-test-{number}"), Item::Key, number)).unwrap());
            }
        });
        assert_eq!(kept(&path).unwrap().len(), 8);
    }
}
