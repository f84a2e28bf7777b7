//! The parts that a version was made of, for reads by part number.

use core::ops::Range;

use cairn_machine::rows::object::Checksum;
use cairn_metadata::query;
use s3s::{S3Error, S3ErrorCode, s3_error};

use super::lookup::Found;
use crate::fault::Fault;

/// The highest number that a part may have.
pub const PART_NUMBER_MAX: u16 = 10_000;

/// One part of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its bytes within the object.
    pub range: Range<u64>,
    /// The checksum over them, where one is kept.
    pub checksum: Option<Checksum>,
    /// How many parts the object has; none where it was not uploaded in parts.
    pub of: Option<u16>,
}

/// The number of a part, as a client sent it.
pub fn number(sent: i32) -> Result<u16, Fault> {
    let number = u16::try_from(sent).ok().filter(|number| (1..=PART_NUMBER_MAX).contains(number));
    number.ok_or_else(|| {
        s3_error!(InvalidArgument, "Part number must be an integer between 1 and {PART_NUMBER_MAX}, inclusive.").into()
    })
}

/// A part of a version. One that was not uploaded in parts is its own first part.
pub fn find(found: &Found, number: u16) -> Result<Part, Fault> {
    let attributes = &found.attributes;
    let Some(parts) = query::parts(&found.view, &found.content, number - 1, 1)? else {
        return match number {
            1 => Ok(Part { range: 0..attributes.size, checksum: attributes.checksum.clone(), of: None }),
            _ => Err(not_satisfiable().into()),
        };
    };
    // The one that follows the number before, which is another where this number was left out.
    let part = parts.parts.into_iter().find(|part| part.number == number).ok_or_else(not_satisfiable)?;
    Ok(Part { range: part.offset..part.offset + part.size, checksum: part.checksum, of: Some(parts.count) })
}

/// A part number and a range cannot both say which bytes are meant.
pub fn not_with_a_range() -> Fault {
    s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber query parameter.").into()
}

fn not_satisfiable() -> S3Error {
    let code = S3ErrorCode::Custom("InvalidPartNumber".into());
    let mut error = S3Error::with_message(code, "The requested partnumber is not satisfiable");
    error.set_status_code(http::StatusCode::RANGE_NOT_SATISFIABLE);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_parts_are_bounded() {
        for (sent, expected) in [(1, Some(1)), (10_000, Some(10_000)), (0, None), (10_001, None), (-1, None)] {
            assert_eq!(number(sent).ok(), expected, "{sent}");
        }
        assert_eq!(S3Error::from(number(0).unwrap_err()).code().as_str(), "InvalidArgument");
    }
}
