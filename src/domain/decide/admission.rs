//! Who may reach the session's ports: the policy's ranges, with labguard's own address put in where they say `own`.
//!
//! Guarantees: what is new is opened before what it stands for is closed; only rules that labguard opened are closed, in a
//! group of its own; while the own address is not known, what is open stays as it is.

use crate::domain::{
    model::{Admission, Ingress, Life, OwnAddress, ResourceKey, ResourceKind, Step},
    policy::retry,
};

use super::{sentinel, turn::Turn};

const GROUP: ResourceKey = ResourceKey::only(ResourceKind::SecurityGroup);

/// All that shall be open; none while the own address is being asked for, which takes seconds.
pub(super) fn wanted(turn: &Turn<'_>) -> Option<Vec<Ingress>> {
    let mut rules = turn.policy().network.ingress.clone();
    rules.extend(sentinel::ingress(turn));
    turn.seen.own_address.put_into(&rules)
}

/// Keeps the rules in step with the own address.
pub(super) fn steps(turn: &mut Turn<'_>) {
    let Some(have) = turn.record.admitted.clone() else { return };
    if !turn.policy().asks_own_address() || !matches!(turn.seen.own_address, OwnAddress::Known(_)) {
        return;
    }
    let group = turn.record.resources.get(&GROUP).filter(|it| it.ours && it.life == Life::Live).cloned();
    let Some((group, id)) = group.and_then(|group| Some((group.clone(), group.id?))) else { return };
    let Some(then) = wanted(turn) else { return };
    let (open, close) = (beyond(&then, &have), beyond(&have, &then));
    if open.is_empty() && close.is_empty() || turn.has_step(GROUP) {
        return;
    }
    if let Some((at, _)) = &group.last_fault
        && !turn.reached(*at + retry::create_wait(group.failures))
    {
        return;
    }
    turn.steps.push(Step::Admit { key: GROUP, admission: Admission { group: id, open, close, then } });
}

/// What is in the one and not in the other.
fn beyond(one: &[Ingress], other: &[Ingress]) -> Vec<Ingress> {
    let holds =
        |port: u16, source: &String| other.iter().any(|rule| rule.port == port && rule.sources.contains(source));
    let rules = one.iter().map(|rule| Ingress {
        port: rule.port,
        sources: rule.sources.iter().filter(|source| !holds(rule.port, source)).cloned().collect(),
    });
    rules.filter(|rule| !rule.sources.is_empty()).collect()
}
