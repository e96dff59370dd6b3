//! Shared budgets by the real binary: the daemon on the embedded sandbox, and what a person types and reads.

#[path = "support/house.rs"]
mod house;
use house::House;
use labguard::clock::Clock;

const SHARED: &str = r#"
[sessions.second]
owner = "somebody else"
group = "ml"
[sessions.second.image]
source = "executable"
path = "LABGUARD"
args = ["predictor", "serve"]
[sessions.admission]
group = "ml"
[budgets.class]
scope = "group"
of = "ml"
period = "day"
zone = "ZONE"
limit = "0.003 USD"
[budgets.everybody]
period = "life"
limit = "5.00 USD"
"#;

/// Where the day has hours to go: the daemon's clock is the real one, and a day that ends before its budget is used up
/// is no limit to what lives.
fn early() -> &'static str {
    let hour = Clock::System.now().as_millis() / 3_600_000 % 24;
    // At the latest two in the afternoon in Berlin, and eight in the evening in New York.
    if hour < 12 { "Europe/Berlin" } else { "America/New_York" }
}

#[test]
fn a_class_shares_a_budget_and_everybody_sees_what_is_left_of_it() {
    let mut house = House::with(&SHARED.replace("LABGUARD", env!("CARGO_BIN_EXE_labguard")).replace("ZONE", early()));
    house.text(&["config", "check"]);
    assert!(house.text(&["config", "show"]).contains("[budgets.class]"));
    house.start();
    let budgets = house.json(&["budgets"]);
    assert_eq!((&budgets[0]["name"], &budgets[0]["spent"]), (&"class".into(), &"0.00 USD".into()));
    assert_eq!((&budgets[1]["name"], &budgets[1]["until"]), (&"everybody".into(), &serde_json::Value::Null));
    let plan = house.json(&["plan", "second"]).to_string();
    assert!(plan.contains("the budget \\\"class\\\" of group ml tears it down after"), "{plan}");

    house.text(&["up", "admission"]);
    house.until("counted", |house| house.json(&["budgets", "class"])[0]["sessions"].as_array().unwrap().len() == 1);
    let refused = house.run(&["up", "second"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(6), "{why}");
    for part in ["nothing was done", "\"class\" of group ml", "least lifetime of 5m", "0.0027 USD (90 % of 0.003 USD)"]
    {
        assert!(why.contains(part), "{part} is not in {why}");
    }
    assert!(house.json(&["plan", "second"]).to_string().contains("it would be refused now"));
    let limits = house.json(&["status", "admission"]);
    assert!(limits.to_string().contains("shared_budget"), "{limits}");
    let table = house.text(&["budgets"]);
    for part in ["group ml", "the daemon", "takes no further session", "tears its sessions down", "at worst over it"] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    assert_eq!(house.run(&["budgets", "clas"]).status.code(), Some(5));

    // A smaller limit holds at once, for what lives.
    house.rewrite(|text| text.replace("limit = \"0.003 USD\"", "limit = \"0.0001 USD\""));
    house.signal("HUP");
    house.until("torn down", |house| house.json(&["history"]).to_string().contains("budget"));
    let receipt = house.json(&["receipt", "admission"]);
    assert!(receipt["cause_detail"].as_str().unwrap().contains("\"class\" of group ml"), "{receipt}");
    let log = house.log();
    for part in ["has reached 50 %", "has reached 90 %", "has reached 100 %", "it tears its sessions down"] {
        assert_eq!(
            log.lines().filter(|line| line.contains(part) && line.contains("WARN")).count(),
            1,
            "{part}:\n{log}"
        );
    }
    let class = house.json(&["budgets", "class"]);
    assert!(class[0]["thresholds"].as_array().unwrap().iter().all(|it| !it["reached_at"].is_null()), "{class}");
}

#[test]
fn without_a_shared_budget_there_is_nothing_to_show_and_that_is_said() {
    let mut house = House::new();
    house.start();
    let shown = house.run(&["budgets"]);
    assert!(shown.status.success() && shown.stdout.is_empty());
    assert!(String::from_utf8_lossy(&shown.stderr).contains("[budgets.NAME]"));
    assert_eq!(house.json(&["budgets"]), serde_json::json!([]));
    assert_eq!(house.end(), Some(0));
}
