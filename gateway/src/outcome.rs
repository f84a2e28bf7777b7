//! One operation, proposed and answered: what most requests that change something come down to.

use cairn_machine::operation::Operation;
use cairn_machine::{Outcome, Refusal};

use crate::fault::Fault;
use crate::front::Core;

impl Core {
    /// Proposes one operation. A refusal is a fault, so what comes back has happened.
    pub async fn propose(&self, operation: Operation) -> Result<Outcome, Fault> {
        let outcomes = self.stripes.client.propose(vec![operation]).await?;
        match outcomes.into_iter().next().expect("each operation has one outcome") {
            Outcome::Refused(refusal) => Err(Fault::of_refusal(refusal)),
            outcome => Ok(outcome),
        }
    }
}

/// What came of operations that build on each other: the outcome of the last one, or the refusal that the others follow
/// from.
pub fn last_or_first_refusal(outcomes: Vec<Outcome>) -> Outcome {
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(_));
    let outcome = outcomes.into_iter().reduce(|before, next| if refused(&before) { before } else { next });
    outcome.expect("each operation has one outcome")
}

/// An outcome that does not belong to its operation: a defect.
pub fn unexpected(asked: &str, outcome: &Outcome) -> Fault {
    Fault::Refused(Refusal::Malformed { reason: format!("{asked} was answered by {outcome:?}") })
}
