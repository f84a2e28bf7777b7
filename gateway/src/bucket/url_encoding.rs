//! Percent-encoding for listings: XML cannot carry every character that a key may have.

use core::fmt::Write;

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
        }
    }
}
