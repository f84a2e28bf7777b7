//! What an operation needs before it can be proposed: a session, a version that all members know.

use super::Operation;
use crate::batch::{FUNCTION_NEVER_RAISED, FUNCTION_OF_SURE_TIME};

impl Operation {
    /// The first version of the function that knows it, as far as a cluster can be of an earlier one: entries are of
    /// [`FUNCTION_NEVER_RAISED`] at least. What raises is of the version that it raises to.
    pub fn since(&self) -> u8 {
        match self {
            Self::RaiseFunction { to } => (*to).max(FUNCTION_OF_SURE_TIME),
            _ => FUNCTION_NEVER_RAISED,
        }
    }

    /// Whether it may come without a request of a session: once more of the same changes nothing more.
    pub fn needs_no_session(&self) -> bool {
        matches!(
            self,
            Self::Form { .. }
                | Self::PutAccessKey { .. }
                | Self::RegisterSession { .. }
                | Self::EndSession { last_renewal: Some(_), .. }
                | Self::ReportRun { .. }
                | Self::RegisterNode { .. }
                | Self::SeatVoter { .. }
                | Self::RaiseFunction { .. }
        )
    }
}
