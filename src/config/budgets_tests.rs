//! `[budgets.NAME]` in the loader: over its defaults, from every layer, with every mistake, and what is shown of it.
//!
//! Guarantees: files are written to temporary folders only. Must never read the ambient configuration.

use super::{
    tests::{MINIMAL, loaded, request},
    *,
};
use crate::domain::{
    model::{Period, Scope},
    policy::Shares,
};

#[test]
fn a_shared_budget_is_read_over_its_defaults_and_shown_as_it_loads() {
    let text = format!(
        "{MINIMAL}group = \"ml\"\n[budget_defaults]\nzone = \"Europe/Berlin\"\nstop_at = 95\n\
         [budgets.class]\nscope = \"group\"\nof = \"ml\"\nperiod = \"week\"\nlimit = \"20 USD\"\n\
         notify_at = [80, 50, 80]\n[budgets.each]\nscope = \"owner\"\nperiod = \"day\"\nlimit = \"1 USD\"\n\
         block_at = \"never\"\nstop_at = \"never\"\n"
    );
    let settings = loaded(&text).unwrap();
    let [class, each] = settings.budgets.as_slice() else { panic!("{:?}", settings.budgets) };
    let shares = Shares { notify: vec![50, 80], block: Some(90), stop: Some(95), teardown: Some(100) };
    assert_eq!((class.name.as_str(), class.scope, class.period), ("class", Scope::Group, Period::Week));
    assert_eq!((class.of.as_deref(), class.zone.as_str(), &class.shares), (Some("ml"), "Europe/Berlin", &shares));
    assert_eq!((each.of.as_deref(), each.limit), (None, "1 USD".parse().unwrap()));
    let shares = Shares { notify: vec![50, 80], block: None, stop: None, teardown: Some(100) };
    assert_eq!(each.shares, shares);
    assert_eq!(loaded(&show(&settings)).unwrap().budgets, settings.budgets);
    assert_eq!(settings.warnings(), loaded(&show(&settings)).unwrap().warnings());
}

#[test]
fn flags_and_variables_reach_a_shared_budget_too() {
    let (_folder, mut request) = request(&[("a.toml", &format!("{MINIMAL}[budgets.my-class]\nlimit = \"1 USD\"\n"))]);
    request.env = vec![("LABGUARD__BUDGETS__MY_CLASS__LIMIT".into(), "2 USD".into())];
    request.set = vec!["budgets.my-class.stop_at=95".into(), "budgets.my-class.block_at=never".into()];
    let budget = load(&request).unwrap().budgets.remove(0);
    assert_eq!(budget.limit, "2 USD".parse().unwrap());
    assert_eq!((budget.shares.block, budget.shares.stop), (None, Some(95)));
}

#[test]
fn every_mistake_in_shared_budgets_is_told_with_its_place_and_what_was_meant() {
    let text = format!(
        "{MINIMAL}[budgets.a]\nlimt = \"5 USD\"\nperiod = \"weekly\"\n\
         [budgets.b]\nlimit = \"0 USD\"\nblock_at = 101\nzone = \"Europe/Berln\"\n\
         [budgets.c]\nlimit = \"1 USD\"\nof = \"ada\"\nblock_at = 90\nstop_at = 80\nteardown_at = 70\n\
         [budgets.d]\nlimit = \"1 USD\"\nblock_at = \"never\"\nteardown_at = \"never\"\nscope = \"account\"\nof = \"12\"\n\
         [budgets.\"1\"]\nlimit = \"1 USD\"\n"
    );
    let mistakes = loaded(&text).unwrap_err().0;
    let told: Vec<(String, &str, Option<&str>)> = mistakes
        .iter()
        .map(|it| {
            let line = it.source.rsplit(':').next().unwrap_or_default();
            (format!("{line} {}", it.key), it.expected.as_str(), it.nearest.as_deref())
        })
        .collect();
    let keys: Vec<&str> = told.iter().map(|(place, ..)| place.as_str()).collect();
    let expected = [
        "5 budgets.a.limt",
        "6 budgets.a.period",
        "8 budgets.b.limit",
        "9 budgets.b.block_at",
        "10 budgets.b.zone",
        "23 budgets.1",
        "4 budgets.a.limit",
        "13 budgets.c.of",
        "15 budgets.c.stop_at",
        "16 budgets.c.teardown_at",
        "22 budgets.d.of",
        "20 budgets.d.teardown_at",
    ];
    assert_eq!(keys, expected, "{told:#?}");
    assert_eq!(told[0].2, Some("budgets.a.limit"));
    assert_eq!(told[1].2, Some("week"));
    assert_eq!(told[3].1, "a whole number from 1 to 100, or \"never\"");
    assert_eq!(told[4].2, Some("Europe/Berlin"));
}

#[test]
fn a_budget_of_somebody_who_has_no_session_is_warned_of() {
    let text = format!("{MINIMAL}[budgets.b]\nscope = \"owner\"\nof = \"mee\"\nlimit = \"1 USD\"\n");
    let warnings = loaded(&text).unwrap().warnings();
    let told = "budget b: no session has the owner \"mee\" (is \"me\" meant?), so nothing is counted in it";
    assert!(warnings.iter().any(|warning| warning == told), "{warnings:?}");
}
