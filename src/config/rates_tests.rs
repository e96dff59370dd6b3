//! `[rates.REGION]` in the loader: every layer, every mistake, and what is shown of it.
//!
//! Guarantees: files are written to temporary folders only. Must never read the ambient configuration.

use super::*;
use crate::domain::model::{Basis, Item, Span};

fn request(text: &str) -> (tempfile::TempDir, Request) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(&path, text).unwrap();
    (folder, Request { files: vec![path], ..Request::default() })
}

fn loaded(text: &str) -> Result<Settings, Mistakes> {
    load(&request(text).1)
}

fn exact(settings: &Settings, region: &str, item: Item) -> String {
    settings.rates.card(region).amount(item).exact()
}

#[test]
fn a_given_price_goes_before_the_others_knows_its_place_and_has_no_date() {
    let settings = loaded("[rates.us-east-1]\nvcpu_x86 = \"0.03 USD\"\npublic_ipv4 = \"0 USD\"\n").unwrap();
    let card = settings.rates.card("us-east-1");
    let price = card.price(Item::VcpuX86).unwrap();
    assert_eq!((price.amount.exact().as_str(), price.basis, price.as_of.as_str()), ("0.03 USD", Basis::Given, ""));
    assert!(price.source.starts_with("given in ") && price.source.ends_with("a.toml:2"), "{}", price.source);
    // Nothing is a price too, if somebody says so.
    assert_eq!(exact(&settings, "us-east-1", Item::PublicIpv4), "0.00 USD");
    assert_eq!(exact(&settings, "us-east-1", Item::MemoryX86), "0.004445 USD");
    assert_eq!(exact(&settings, "eu-central-1", Item::VcpuX86), "0.04656 USD");
    assert!(settings.origins["rates.us-east-1.vcpu_x86"].ends_with("a.toml:2"));
    assert_eq!(settings.warnings(), Vec::<String>::new());
}

#[test]
fn every_layer_may_give_prices_and_the_later_counts() {
    let (_folder, mut request) = request("[rates.us-east-1]\nvcpu_x86 = \"0.03 USD\"\n");
    request.env = vec![
        ("LABGUARD__RATES__US_EAST_1__VCPU_X86".into(), "0.02 USD".into()),
        ("LABGUARD__RATES__EU_WEST_2__VCPU_X86".into(), "0.05 USD".into()),
    ];
    let of = |request: &Request| load(request).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(exact(&of(&request), "us-east-1", Item::VcpuX86), "0.02 USD");
    assert_eq!(exact(&of(&request), "eu-west-2", Item::VcpuX86), "0.05 USD");
    request.set = vec!["rates.us-east-1.vcpu_x86=\"0.01 USD\"".into(), "rates.us-east-1.key=2 USD".into()];
    let settings = of(&request);
    assert_eq!(exact(&settings, "us-east-1", Item::VcpuX86), "0.01 USD");
    assert_eq!(settings.rates.card("us-east-1").price(Item::Key).unwrap().source, "given in --set");
}

#[test]
fn what_is_shown_of_them_loads_back_equal() {
    let text: String = Item::ALL.iter().map(|item| format!("{} = \"0.000000001 USD\"\n", item.key())).collect();
    let settings = loaded(&format!("[rates.us-east-1]\n{text}[rates.cn-north-1]\nkey = \"1.5 USD\"\n")).unwrap();
    let shown = show(&settings);
    let again = loaded(&shown).unwrap_or_else(|mistakes| panic!("{mistakes}\n{shown}"));
    let amounts = |settings: &Settings| {
        let mut given = settings.rates.given().clone();
        // Their places differ.
        given.values_mut().flat_map(BTreeMap::values_mut).for_each(|price| price.source.clear());
        given
    };
    assert_eq!(amounts(&again), amounts(&settings));
    assert_eq!(amounts(&settings)["us-east-1"].len(), Item::ALL.len());
    assert!(shown.contains("[rates.us-east-1]\nvcpu_x86 = \"0.000000001 USD\"  # "), "{shown}");
    // A region that nobody runs in is no mistake, and yet worth a word.
    assert_eq!(
        settings.warnings(),
        ["[rates.cn-north-1] is of no region that labguard or a session knows; its prices are not used"]
    );
}

#[test]
fn mistakes_name_their_place_their_key_what_was_expected_and_the_nearest() {
    let (folder, mut request) = request(
        "[rates]\nus_east-1.vcpu_x86 = \"1 USD\"\n\
         [rates.us-east-1]\nvcpu_x68 = \"1 USD\"\nvcpu_arm = \"-1 USD\"\nmemory_x86 = 0.004445\n\
         memory_arm = \"0.0044450001 USD\"\nkey = \"1 CNY\"\nsecret.more = \"1 USD\"\n[rates.nowhere]\n",
    );
    request.set = vec!["rates.eu-central-1.data_out=free".into()];
    let text = load(&request).unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "");
    let expected = "9 mistakes in the configuration:

1. a.toml:2: rates.us_east-1
   expected: an AWS region such as us-east-1
   nearest:  rates.us-east-1

2. a.toml:4: rates.us-east-1.vcpu_x68
   found:    \"1 USD\"
   expected: a key that labguard knows (config/default.toml lists them)
   nearest:  rates.us-east-1.vcpu_x86

3. a.toml:5: rates.us-east-1.vcpu_arm
   found:    \"-1 USD\"
   expected: a price in US dollars for one vCPU-hour, such as \"0.04048 USD\", not below nothing

4. a.toml:6: rates.us-east-1.memory_x86
   found:    0.004445
   expected: a price in US dollars for one GB-hour, such as \"0.04048 USD\"

5. a.toml:7: rates.us-east-1.memory_arm
   found:    \"0.0044450001 USD\"
   expected: a price in US dollars for one GB-hour, such as \"0.04048 USD\", with at most 9 decimals

6. a.toml:8: rates.us-east-1.key
   found:    \"1 CNY\"
   expected: US dollars (USD), found CNY

7. a.toml:9: rates.us-east-1.secret
   found:    { more = \"1 USD\" }
   expected: a price in US dollars for one secret-month, such as \"0.04048 USD\"

8. a.toml:10: rates.nowhere
   expected: an AWS region such as us-east-1

9. --set: rates.eu-central-1.data_out
   found:    \"free\"
   expected: a price in US dollars for one GB, such as \"0.04048 USD\"
";
    assert_eq!(text, expected, "{text}");
}

#[test]
fn the_age_that_is_warned_of_can_be_none() {
    let of = |text: &str| loaded(&format!("[daemon]\nrates_max_age = \"{text}\"\n")).map(|it| it.daemon.rates_max_age);
    assert_eq!(of("90d"), Ok(Some(Span::from_mins(90 * 24 * 60))));
    assert_eq!((of("never"), of("0s")), (Ok(None), Ok(None)));
    let expected = of("4000d").unwrap_err().0[0].expected.clone();
    assert!(
        expected.starts_with("a length of time from 0s to 3650days") && expected.ends_with("\"never\""),
        "{expected}"
    );
    let settings = load(&Request::default()).unwrap();
    assert_eq!(settings.daemon.rates_max_age, Some(Span::from_mins(365 * 24 * 60)));
}

#[test]
fn old_prices_are_warned_of_where_a_session_needs_them() {
    let text = "[sessions.a]\nowner = \"me\"\nimage.uri = \"a.b/c:1\"\n";
    let settings = loaded(text).unwrap();
    let now = "2027-04-01T00:00:00Z".parse().unwrap();
    let said = settings.age_warning(now).unwrap();
    assert!(said.contains("log data taken in (2026-03-01)") && !said.contains("secret"), "{said}");
    assert_eq!(loaded(&format!("{text}[daemon]\nrates_max_age = \"never\"\n")).unwrap().age_warning(now), None);
    let given = "[rates.us-east-1]\nlogs_ingested = \"0.5 USD\"\n";
    let said = loaded(&format!("{text}{given}")).unwrap().age_warning(now).unwrap();
    assert!(!said.contains("log data"), "{said}");
}

#[test]
fn the_reference_names_every_key_of_a_price() {
    let tables = reference::explained().1;
    let text = &tables.iter().find(|table| table.name == "rates").unwrap().text;
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for item in Item::ALL {
        assert!(words.contains(&item.key()), "{} is not in config/default.toml's [rates]", item.key());
    }
}
