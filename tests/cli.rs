//! The README's tour, typed: the real daemon on the embedded sandbox, and every command of a person's day against it.
//!
//! One story, in order, in an empty HOME; the daemon is this test's own child and is ended by SIGTERM, as a service
//! manager would.

#[path = "support/house.rs"]
#[expect(dead_code, reason = "only the daemon's own tests signal it and change its configuration")]
mod house;
use house::House;

#[test]
fn the_tour_of_the_readme_can_be_typed_as_it_stands() {
    let mut house = House::new();
    house.text(&["config", "check"]);
    assert_eq!(house.run(&["status"]).status.code(), Some(4), "there is no daemon yet");
    house.start();

    let plan = house.json(&["plan", "admission"]);
    assert!(!plan.to_string().is_empty());
    let address = house.text(&["up", "admission"]);
    let address = address.trim();
    assert!(address.starts_with("http://127.") && address.ends_with(":5000"), "{address:?}");
    assert!(house.json(&["status", "admission"]).to_string().contains(address));
    assert_eq!(house.run(&["up", "admission"]).status.code(), Some(6), "its names are fixed: a second one is refused");

    house.text(&["touch", "admission"]);
    house.text(&["extend", "admission", "--lifetime", "30m"]);
    assert_ne!(house.run(&["extend", "admission", "--lifetime", "900h"]).status.code(), Some(0), "past the hard limit");
    house.text(&["stop", "admission"]);
    house.text(&["resume", "admission"]);
    house.text(&["down", "admission"]);

    assert!(house.json(&["history"]).to_string().contains("admission"));
    let receipt = house.json(&["receipt", "admission"]);
    assert!(receipt.to_string().contains("USD"), "{receipt}");
    let total = receipt["total"].as_str().unwrap();
    assert!(house.text(&["cost", "--by", "owner"]).contains(total), "one session is all there is");
    let cost = house.json(&["cost", "--since", "2h", "--by", "item"]);
    assert_eq!(cost["total"], receipt["total"]);
    let id = receipt["session"].as_str().unwrap();
    assert!(house.json(&["journal", id]).as_array().unwrap().iter().any(|entry| entry["event"]["event"] == "closed"));
    for (arguments, begins) in [
        (&["receipt", "admission", "--format", "csv"][..], "session,policy,owner,"),
        (&["receipt", "admission", "--format", "focus"], "AvailabilityZone,BilledCost,"),
        (&["cost", "export", "--since", "1d"], "session,policy,owner,"),
        (&["cost", "export", "--format", "focus"], "AvailabilityZone,BilledCost,"),
    ] {
        let text = house.text(arguments);
        assert!(text.starts_with(begins) && text.contains(id), "{arguments:?}: {text}");
    }
    house.text(&["sweep"]);
    assert_eq!(house.run(&["status", "nobody"]).status.code(), Some(5), "an unknown session");
}
