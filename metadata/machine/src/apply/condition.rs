//! Conditions: judged here, on the rows as they are at this place of the log, which makes them atomic.

use crate::operation::{Conditions, EtagCondition};
use crate::outcome::Refusal;
use crate::rows::object::{Etag, ObjectRow};

/// Whether what must hold does. `row` is the version that is meant; a delete marker counts as nothing there.
pub(crate) fn judge(conditions: &Conditions, row: Option<&ObjectRow>) -> Result<(), Refusal> {
    if conditions.is_empty() {
        return Ok(());
    }
    let there = row.and_then(|row| Some((row, row.object()?.0)));
    let Some((row, attributes)) = there else {
        let wants_something =
            conditions.if_match.is_some() || conditions.size.is_some() || conditions.modified.is_some();
        return if wants_something { Err(Refusal::NoSuchKey) } else { Ok(()) };
    };
    let holds = conditions.if_match.as_ref().is_none_or(|wanted| names(wanted, &attributes.etag))
        && conditions.if_none_match.as_ref().is_none_or(|unwanted| !names(unwanted, &attributes.etag))
        && conditions.size.is_none_or(|size| size == attributes.size)
        && conditions.modified.is_none_or(|time| time.as_millis() / 1000 == row.modified.as_millis() / 1000);
    if holds { Ok(()) } else { Err(Refusal::PreconditionFailed) }
}

fn names(condition: &EtagCondition, etag: &Etag) -> bool {
    match condition {
        EtagCondition::Any => true,
        EtagCondition::OneOf(etags) => etags.contains(etag),
    }
}
