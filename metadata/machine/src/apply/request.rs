//! Exactly one effect: a session numbers its requests, and a repeat is answered from its slot.
//!
//! ```text
//! number      answered below            slots                        not yet
//!        ------------------------|--------------------------|---------------------->
//!             OutsideWindow      lowest unanswered      + 1,024    OutsideWindow
//!                                in a slot: the stored answer
//!                                not in a slot: applied, and stored
//! ```
//!
//! A slot is the request's number modulo 1,024. The lowest unanswered number comes with each request and never goes back,
//! so a slot is written again only when the request that it held needs no answer any more.

use minicbor::bytes::ByteVec;

use crate::apply::apply_operation;
use crate::apply::context::Context;
use crate::apply::transaction::{Stop, Transaction, malformed};
use crate::batch::{PROPOSAL_OPERATIONS_MAX, Proposal, RequestId};
use crate::operation::OPERATION_BYTES_MAX;
use crate::outcome::{Outcome, Refusal};
use crate::row::{Row, read_cbor, write_cbor};
use crate::rows::session::{SESSION_SLOTS, SessionRow, SlotRow};
use crate::source::{RowError, RowSource};

/// The same refusal for every operation.
pub(crate) fn refuse_all(proposal: &Proposal, refusal: &Refusal) -> Vec<Outcome> {
    proposal.operations.iter().map(|_| Outcome::Refused(refusal.clone())).collect()
}

/// Answers a proposal: from its slot, or by applying it.
pub(crate) fn answer<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &mut Context<'_>,
    proposal: &Proposal,
) -> Result<Vec<Outcome>, RowError> {
    if proposal.operations.len() > PROPOSAL_OPERATIONS_MAX {
        return Ok(refuse_all(proposal, &Refusal::TooLarge));
    }
    let Some(request) = proposal.request else {
        return apply_all(rows, context, proposal);
    };
    rows.begin();
    match admit(rows, request) {
        Ok(None) => rows.keep(),
        Ok(Some(answer)) => return Ok(answer),
        Err(Stop::Rows(error)) => return Err(error),
        Err(Stop::Refused(refusal)) => return Ok(refuse_all(proposal, &refusal)),
    }
    let outcomes = apply_all(rows, context, proposal)?;
    rows.begin();
    match store(rows, request, &outcomes) {
        Ok(()) => rows.keep(),
        Err(Stop::Rows(error)) => return Err(error),
        Err(Stop::Refused(refusal)) => unreachable!("a slot is one row, within every bound: {refusal}"),
    }
    Ok(outcomes)
}

fn apply_all<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &mut Context<'_>,
    proposal: &Proposal,
) -> Result<Vec<Outcome>, RowError> {
    let mut outcomes = Vec::with_capacity(proposal.operations.len());
    for (position, operation) in proposal.operations.iter().enumerate() {
        context.position = position;
        let outcome = if proposal.request.is_none() && !operation.needs_no_session() {
            let reason = "only a session's request may ask for this".into();
            Outcome::Refused(Refusal::Malformed { reason })
        } else {
            apply_operation(rows, context, operation)?
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// The stored answer of a repeat, none for a request that is to be applied, a refusal for one outside the window.
fn admit<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    request: RequestId,
) -> Result<Option<Vec<Outcome>>, Stop> {
    let RequestId { session, number, lowest_unanswered } = request;
    let row = rows.get::<SessionRow>(&session)?.ok_or(Refusal::SessionEnded)?;
    if number < lowest_unanswered {
        return Err(malformed("a request below its own mark"));
    }
    let answered_below = row.answered_below.max(lowest_unanswered);
    if number < row.answered_below || number - answered_below >= SESSION_SLOTS {
        return Err(Refusal::OutsideWindow.into());
    }
    let key = SlotRow::key(&(session, slot(number)));
    if let Some(stored) = rows.get_at::<SlotRow>(&key)? {
        assert!(stored.number <= number, "a slot is used again only behind the window");
        if stored.number == number {
            return Ok(Some(read_outcomes(&key, &stored)?));
        }
    }
    if answered_below > row.answered_below {
        rows.put(&session, SessionRow { answered_below, ..(*row).clone() })?;
    }
    Ok(None)
}

/// Keeps the answer, unless the request ended its own session: then there is nobody left to repeat it.
///
/// A slot is bounded by its proposal: 4,096 outcomes of less than 200 bytes each, in practice some twenty bytes each.
fn store<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    request: RequestId,
    outcomes: &[Outcome],
) -> Result<(), Stop> {
    if rows.get::<SessionRow>(&request.session)?.is_none() {
        return Ok(());
    }
    let mut bytes = Vec::with_capacity(32 * outcomes.len());
    write_cbor(&outcomes, &mut bytes);
    assert!(bytes.len() < OPERATION_BYTES_MAX - 64, "outcomes are small, and so are {} of them", outcomes.len());
    let row = SlotRow { number: request.number, outcomes: ByteVec::from(bytes) };
    rows.put(&(request.session, slot(request.number)), row)
}

fn read_outcomes(key: &[u8], row: &SlotRow) -> Result<Vec<Outcome>, RowError> {
    read_cbor(&row.outcomes).map_err(|what| RowError::Damaged { key: crate::row::hex(key), what })
}

fn slot(number: u64) -> u16 {
    u16::try_from(number % SESSION_SLOTS).expect("1,024 slots fit 16 bits")
}
