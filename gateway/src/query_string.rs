//! A request's query, pair by pair: as it was sent, and decoded as s3s decodes it. Pure.

use std::borrow::Cow;

use s3s::{S3Result, s3_error};

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair<'a> {
    /// As it was sent, value and all.
    pub raw: &'a str,
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value; empty where none was sent.
    pub value: Cow<'a, str>,
}

/// All parameters, in the order in which they were sent.
pub fn pairs(query: &str) -> S3Result<Vec<Pair<'_>>> {
    let sent = query.split('&').filter(|raw| !raw.is_empty());
    let read = |raw| {
        let (name, value) = str::split_once(raw, '=').unwrap_or((raw, ""));
        Ok(Pair { raw, name: decode(name)?, value: decode(value)? })
    };
    sent.map(read).collect()
}

/// Percent signs and, as in forms, a plus for a space.
fn decode(text: &str) -> S3Result<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let (byte, behind) = match (first, behind) {
            (b'+', _) => (b' ', behind),
            (b'%', [high, low, behind @ ..]) => {
                let mut decoded = [0];
                hex::decode_to_slice([*high, *low], &mut decoded).map_err(|_| s3_error!(InvalidURI))?;
                (decoded[0], behind)
            }
            (b'%', _) => return Err(s3_error!(InvalidURI)),
            (other, _) => (*other, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| s3_error!(InvalidURI))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_what_cannot_be_is_refused() {
        let read = pairs("a=1&&b&c%3D=d+e%20f%C3%A4&=x").unwrap();
        let read: Vec<_> = read.iter().map(|pair| (pair.raw, &*pair.name, &*pair.value)).collect();
        assert_eq!(read, [("a=1", "a", "1"), ("b", "b", ""), ("c%3D=d+e%20f%C3%A4", "c=", "d e fä"), ("=x", "", "x")]);
        for malformed in ["a%2", "a=%", "a=%zz", "a=%FF", "%C3=x"] {
            assert_eq!(pairs(malformed).unwrap_err().code().as_str(), "InvalidURI", "{malformed}");
        }
    }
}
