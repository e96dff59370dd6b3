//! The order in which the rules of one turn are asked, and the phases they lead through.
//!
//! Guarantee: limits are asked before anything is made, and whatever ends the session ends it in the same turn.

use crate::domain::model::{Cause, Event, Phase, Stage, Step, Timestamp};

use super::{
    admission, deploy_order, fuse, health, idleness, limits, pricing, sentinel, stuck, taking_in, teardown_order,
    turn::{Turn, is_service, serving},
    verify, warnings,
};
use crate::domain::{
    model::{Life, Record},
    policy::{Policy, retry},
};

/// One whole turn.
pub(super) fn run(turn: &mut Turn<'_>) {
    pricing::note(turn);
    taking_in::run(turn);
    fuse::notice(turn);
    idleness::note_activity(turn);
    if turn.ending_stage() != Some(Stage::Teardown) {
        limits::enforce(turn);
    }
    resume(turn);
    if turn.ending_stage().is_none() {
        build(turn);
    }
    if turn.ending_stage().is_some() {
        // Ended in this very turn: what was asked for the sake of building is asked no more.
        turn.steps.retain(|step| step.key().is_some());
        turn.supply = false;
    }
    match turn.ending_stage() {
        None => warnings::give(turn),
        Some(Stage::Stop) => {
            stop(turn);
            warnings::give(turn);
        }
        Some(Stage::Teardown) => dismantle(turn),
    }
}

fn resume(turn: &mut Turn<'_>) {
    if turn.record.desired.resume && turn.ending_stage() == Some(Stage::Stop) {
        turn.note(Event::Resumed);
        turn.enter(Phase::Provisioning, "resumed");
    }
}

fn build(turn: &mut Turn<'_>) {
    if turn.record.phase == Phase::Pending {
        turn.enter(Phase::Provisioning, "asking who we are and where tasks can run");
    }
    ask(turn);
    deploy_order::give_up(turn);
    fuse::judge(turn);
    if turn.ending_stage().is_some() {
        return;
    }
    if turn.record.phase == Phase::Provisioning && is_asked_for(&turn.record, turn.policy()) {
        turn.enter(Phase::Starting, "its task is asked for");
    }
    if matches!(turn.record.phase, Phase::Starting | Phase::Running) {
        health::judge(turn);
    }
    if turn.ending_stage().is_some() {
        return;
    }
    teardown_order::stop_surplus(turn);
    deploy_order::steps(turn);
    admission::steps(turn);
    sentinel::tell(turn);
}

/// Whether what runs the application is known to exist.
fn is_asked_for(record: &Record, policy: &Policy) -> bool {
    if is_service(policy) {
        return record
            .only(crate::domain::model::ResourceKind::Service)
            .is_some_and(|service| service.life == Life::Live);
    }
    serving(record, policy).is_some_and(|(_, task)| task.life == Life::Live)
}

/// Who we are and where tasks can run: asked side by side, before anything is made.
fn ask(turn: &mut Turn<'_>) {
    if turn.record.identity.is_some() && turn.record.network.is_some() {
        return;
    }
    if let Some((at, fault)) = turn.record.question_fault.clone() {
        let failures = turn.record.question_failures;
        if let Some(why) = retry::given_up(None, &fault, failures, turn.record.opened_at, turn.now) {
            let detail = format!("the account or its network cannot be used: {why}: {fault}");
            turn.end(Cause::DeployFailed, detail, Stage::Teardown);
            return;
        }
        if !turn.reached(at + retry::create_wait(failures)) {
            return;
        }
    }
    if turn.record.identity.is_none() {
        turn.steps.push(Step::Identify);
    }
    if turn.record.network.is_none() {
        let network = &turn.policy().network;
        turn.steps.push(Step::Survey { vpc: network.vpc.clone(), subnets: network.subnets.clone() });
    }
}

/// Tasks gone, the rest kept.
fn stop(turn: &mut Turn<'_>) {
    let because = turn.record.ending.as_ref().map(|ending| format!("{}: {}", ending.cause, ending.detail));
    turn.enter(Phase::Stopping, because.unwrap_or_default());
    teardown_order::stop_compute(turn);
    stuck::name_what_runs_on(turn);
    fuse::judge(turn);
    fuse::arm(turn);
}

/// Everything removed, and the removal verified.
fn dismantle(turn: &mut Turn<'_>) {
    if !turn.record.phase.is_dismantling() && turn.record.phase != Phase::Ended {
        let because = turn.record.ending.as_ref().map(|ending| format!("{}: {}", ending.cause, ending.detail));
        turn.enter(Phase::TearingDown, because.unwrap_or_default());
    }
    teardown_order::everything(turn);
    verify::run(turn);
    if !turn.record.is_closed() {
        stuck::name_blockers(turn);
    }
}

/// When a stopped session's keeping began.
pub(super) fn stopped_since(record: &Record) -> Timestamp {
    record.ending.as_ref().map_or(record.phase_since, |ending| ending.at)
}
