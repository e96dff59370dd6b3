//! AWS's own account of a session, asked of the sandbox: told what it takes, refused while there is nothing, kept when
//! there is; and it changes nothing that labguard counts.

#[path = "support/crash.rs"]
#[expect(dead_code, reason = "nothing crashes here")]
mod crash;
#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "other tests plant foreign things")]
mod memory;

use std::{collections::BTreeMap, time::Duration};

use lab::Lab;
use labguard::{
    domain::model::{Event, Item, Money, Receipt},
    reconcile::handle::{CommandError, Control},
    sandbox::latency::Latency,
};
use memory::House;

/// Of compute and address: what both count by the second.
fn counted(receipt: &Receipt) -> Money {
    let by_second = [Item::VcpuX86, Item::MemoryX86, Item::PublicIpv4];
    let lines = receipt.lines.iter().filter(|line| line.billed_as.is_some_and(|item| by_second.contains(&item)));
    lines.map(|line| line.amount).sum()
}

#[tokio::test(start_paused = true)]
async fn aws_is_asked_only_when_its_price_is_agreed_to_and_its_answer_is_kept_beside_ours() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(house.policy()).await;
    session.until_live().await;
    let live = session.lab.engine.reconcile(session.id.clone(), true).await;
    assert!(matches!(live, Err(CommandError::Refused(why)) if why.contains("no receipt yet")));
    tokio::time::sleep(Duration::from_secs(300)).await;
    let (id, engine) = (session.id.clone(), session.lab.engine.clone());
    let before = session.ended().await;
    assert_eq!(before.billed, None);

    let Err(CommandError::Refused(price)) = engine.reconcile(id.clone(), false).await else { panic!("it asked") };
    assert!(price.contains("takes 0.01 USD a request") && price.contains("less than a day ago"), "{price}");
    assert!(price.contains(&format!("labguard cost reconcile {id} --yes")), "{price}");
    let calls = || house.sandbox.calls().get("ce:GetCostAndUsage").copied().unwrap_or_default();
    assert_eq!(calls(), 0, "nothing was asked");
    let Err(CommandError::Refused(early)) = engine.reconcile(id.clone(), true).await else { panic!("it is too early") };
    assert!(early.contains("has no data for that time yet"), "{early}");
    assert_eq!(calls(), 1);

    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let receipt = engine.reconcile("lab".to_owned(), true).await.unwrap();
    let billed = receipt.billed.clone().unwrap();
    let kinds: Vec<&str> = billed.lines.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["USE1-Fargate-GB-Hours", "USE1-Fargate-vCPU-Hours:perCPU", "USE1-PublicIPv4:InUseAddress"]);
    assert_eq!(billed.lines.iter().map(|(_, amount)| *amount).sum::<Money>(), billed.total);
    let apart = counted(&before).nanos() - billed.total.nanos();
    assert!((0..10_000).contains(&apart), "we counted {apart} nano-dollars more, by the begun second and rounded up");
    assert_eq!(Receipt { billed: None, ..receipt.clone() }, before, "what we counted is what it was");

    // It is in the journal: the next daemon knows it, and counts as before.
    let again = Lab::start(&house.parts, BTreeMap::new(), None).await;
    assert_eq!(again.engine.receipt(id.clone()).await.unwrap(), receipt);
    assert_eq!(again.engine.history(10).await.unwrap(), [receipt]);
    let entries = again.engine.entries(id).await.unwrap();
    assert!(matches!(&entries.last().unwrap().event, Event::Billed { .. }));
    let cost = again.engine.cost(Default::default()).await.unwrap();
    assert_eq!((cost.total, cost.live), (before.total, 0));
    again.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_aws_does_not_know_of_is_told_with_what_to_do() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(house.policy()).await;
    let (id, engine) = (session.id.clone(), session.lab.engine.clone());
    // At once: no task of it ever ran.
    session.ended().await;
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let Err(CommandError::Refused(why)) = engine.reconcile(id, true).await else { panic!("there was nothing") };
    assert!(why.contains("knows of no cost with the tag labguard:session=") && why.contains("activated"), "{why}");
}
