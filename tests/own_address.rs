//! Ports for labguard's own address alone, by whole sessions under paused time: the rule follows the address, and what is
//! not known opens nothing.

#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "other suites plant foreign things as well")]
mod memory;

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use labguard::{
    domain::model::Ingress,
    probe::own_address::{Mirror, OwnAddressError},
    sandbox::latency::Latency,
};
use memory::House;

/// Answers with what it is told to, and counts the questions.
#[derive(Clone, Debug, Default)]
struct Moving(Arc<Mutex<(Option<Ipv4Addr>, usize)>>);

impl Moving {
    fn to(&self, address: Option<&str>) {
        self.0.lock().unwrap().0 = address.map(|address| address.parse().unwrap());
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl Mirror for Moving {
    fn ask(&self) -> BoxFuture<'_, Result<Ipv4Addr, OwnAddressError>> {
        let mut state = self.0.lock().unwrap();
        state.1 += 1;
        std::future::ready(state.0.ok_or(OwnAddressError::NotSet)).boxed()
    }
}

async fn house(address: Option<&str>) -> (House, Moving) {
    let mut house = House::new(Latency::fast()).await;
    let moving = Moving::default();
    moving.to(address);
    house.parts.mirror = Arc::new(moving.clone());
    (house, moving)
}

fn rule(port: u16, sources: &[&str]) -> Ingress {
    Ingress { port, sources: sources.iter().map(ToString::to_string).collect() }
}

#[tokio::test(start_paused = true)]
async fn the_rule_follows_the_address_and_the_old_one_is_closed() {
    for fault in
        ["", "ec2:AuthorizeSecurityGroupIngress=lost-answer:50%", "ec2:RevokeSecurityGroupIngress=lost-answer:2"]
    {
        let (house, moving) = house(Some("203.0.113.7")).await;
        if !fault.is_empty() {
            house.sandbox.add_fault(fault.parse().unwrap());
        }
        let mut policy = house.policy();
        policy.network.ingress = vec![rule(5000, &["own"]), rule(80, &["10.0.0.0/8", "own"])];
        policy.limits.idle_timeout = None;
        let session = house.open(policy).await;
        session.until_live().await;
        assert_eq!(house.sandbox.ingress(), ["5000 203.0.113.7/32", "80 10.0.0.0/8", "80 203.0.113.7/32"], "{fault}");
        moving.to(Some("198.51.100.9"));
        tokio::time::sleep(Duration::from_secs(180)).await;
        assert_eq!(house.sandbox.ingress(), ["5000 198.51.100.9/32", "80 10.0.0.0/8", "80 198.51.100.9/32"], "{fault}");
        // It is gone for a while: what is open stays.
        moving.to(None);
        let asked = moving.asked();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(house.sandbox.ingress().len(), 3);
        assert!((5..=11).contains(&(moving.asked() - asked)), "asked {} times in ten minutes", moving.asked() - asked);
        assert_eq!(session.status().alarm, None);
        session.ended().await;
        assert_eq!(house.left(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_cannot_be_learnt_opens_nothing_and_is_told_until_it_is() {
    let (house, moving) = house(None).await;
    let mut policy = house.policy();
    policy.network.ingress = vec![rule(5000, &["10.0.0.0/8", "own"]), rule(80, &["own"])];
    policy.limits.idle_timeout = None;
    let session = house.open(policy).await;
    session.until_live().await;
    assert_eq!(house.sandbox.ingress(), ["5000 10.0.0.0/8"]);
    let alarm = session.status().alarm.clone().unwrap();
    assert!(alarm.contains("aws.own_address_url") && alarm.contains("name your range"), "{alarm}");
    moving.to(Some("203.0.113.7"));
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(house.sandbox.ingress(), ["5000 10.0.0.0/8", "5000 203.0.113.7/32", "80 203.0.113.7/32"]);
    assert_eq!(session.status().alarm, None);
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_it_asks_nobody() {
    let (house, moving) = house(Some("203.0.113.7")).await;
    let session = house.open(house.policy()).await;
    session.until_live().await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    session.ended().await;
    assert_eq!(moving.asked(), 0);
}
