//! Percent-encoding: for listings, because XML cannot carry every character that a key may have, and back, for what
//! clients write as the query of an URL.

use core::fmt::Write;
use std::borrow::Cow;

/// A key as `encoding-type=url` gives it: everything but letters, digits, `-_.~*` and the slash is encoded. A space is
/// `%20`, which every decoder reads alike, and not `+`.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + text.len() / 4);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~*/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes every character");
        }
    }
    encoded
}

/// A name or value of a query: `%` and two digits are a byte, `+` is a space. None where that is no text.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut decoded = [0];
                hex::decode_to_slice([rest.next()?, rest.next()?], &mut decoded).ok()?;
                decoded[0]
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_carry_is_encoded() {
        for (key, encoded) in [
            ("a/b-c_d.e~f*g", "a/b-c_d.e~f*g"),
            ("a b+c", "a%20b%2Bc"),
            ("\u{1}", "%01"),
            ("ä", "%C3%A4"),
            ("100%", "100%25"),
        ] {
            assert_eq!(encode(key), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(key));
        }
        assert_eq!(decode("a+b").as_deref(), Some("a b"));
        for none in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decode(none), None, "{none}");
        }
    }
}
