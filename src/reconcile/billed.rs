//! AWS's own account of a closed session, asked for when a person wants to compare.
//!
//! Guarantees: nothing is asked before its price was agreed to; what AWS says is journalled and shown beside labguard's own
//! count, and never used by a guard.

use super::{accounts::unreadable, engine::Engine, handle::CommandError, slot::Durability};
use crate::domain::model::{
    Billed, Event, Fault, FaultClass, Item, Money, Receipt, SESSION_TAG, Span, TimeZone, Timestamp,
};

/// How late AWS's account may be.
const LATE: Span = Span::from_mins(24 * 60);

/// Asks AWS what a closed session cost, and keeps the answer.
pub(super) async fn reconcile(engine: &Engine, session: String, agreed: bool) -> Result<Receipt, CommandError> {
    let mut receipt = engine.find_receipt(session).await?;
    let id = receipt.session.clone();
    let now = engine.clock.now();
    if !agreed {
        let price =
            engine.card().price(Item::CostExplorerRequests).map_or(Money::from_nanos(10_000_000), |it| it.amount);
        let early = if now.since(receipt.ended_at) < LATE {
            "; it ended less than a day ago, and AWS's account may not be there yet"
        } else {
            ""
        };
        return Err(CommandError::Refused(format!(
            "AWS's Cost Explorer takes {} a request, which is not in any session's account{early}; nothing was asked; \
             `labguard cost reconcile {id} --yes` asks",
            price.exact()
        )));
    }
    let date = |at: Timestamp| TimeZone::UTC.written(at, "%Y-%m-%d");
    // The last day counts whole, and what was billed for it a little later.
    let (from, until) = (date(receipt.opened_at), date(receipt.ended_at + Span::from_mins(24 * 60)));
    let account = engine.cloud.account_of(&id, &from, &until).await.map_err(|fault| refused(&fault))?;
    if account.lines.is_empty() {
        return Err(CommandError::Refused(format!(
            "AWS's Cost Explorer knows of no cost with the tag {SESSION_TAG}={id} from {from} to {until}; it counts a tag only \
             from when it was activated on (Billing, cost allocation tags) and comes up to a day late; ask again later"
        )));
    }
    let total = account.lines.iter().map(|(_, amount)| *amount).sum();
    let billed = Billed { asked_at: now, from, until, lines: account.lines, total, estimated: account.estimated };
    let event = vec![Event::Billed { billed: billed.clone() }];
    match engine.slot(&id) {
        Some(slot) => slot.write(engine, event, Durability::Required).await.map_err(unreadable)?,
        None => drop(engine.append(&id, event).await.map_err(unreadable)?),
    }
    receipt.billed = Some(billed);
    Ok(receipt)
}

/// What a person is told.
fn refused(fault: &Fault) -> CommandError {
    match (fault.code.as_str(), fault.class) {
        ("DataUnavailableException", _) => CommandError::Refused(
            "AWS's Cost Explorer has no data for that time yet: it comes up to a day late; ask again tomorrow"
                .to_owned(),
        ),
        (_, FaultClass::Denied) => CommandError::Cloud(format!(
            "AWS does not let these credentials read its account of costs ({fault}); they need ce:GetCostAndUsage \
             (deploy/iam), and an account of an organisation its management account's leave"
        )),
        _ => CommandError::Cloud(fault.to_string()),
    }
}
