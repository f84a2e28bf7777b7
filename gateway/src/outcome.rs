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

/// An outcome that does not belong to its operation: a defect.
pub fn unexpected(asked: &str, outcome: &Outcome) -> Fault {
    Fault::Refused(Refusal::Malformed { reason: format!("{asked} was answered by {outcome:?}") })
}
