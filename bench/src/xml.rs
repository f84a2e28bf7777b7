//! As much XML as the answers of a listing, of an upload and of an error need: the texts of elements of one name. Answers come
//! from servers that we only load, so nothing here trusts their shape: what is missing is missing.

/// The texts of all elements of this name, in order, unescaped.
pub fn texts<'a>(xml: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, behind) = rest.split_once(&open)?;
        let (text, behind) = behind.split_once(&close)?;
        rest = behind;
        Some(unescape(text))
    })
}

/// The text of the first element of this name.
pub fn text(xml: &str, name: &str) -> Option<String> {
    texts(xml, name).next()
}

fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    // The ampersand last, or `&amp;lt;` would become a bracket.
    let named = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    named.iter().fold(text.to_owned(), |text, (escaped, letter)| text.replace(escaped, letter))
}

/// A text as it may stand in an element.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_unescaped() {
        let xml = "<R><Key>a&amp;lt;b</Key><Size>1</Size><Key>c</Key><Open></R>";
        assert_eq!(texts(xml, "Key").collect::<Vec<_>>(), ["a&lt;b", "c"]);
        assert_eq!(text(xml, "Size").as_deref(), Some("1"));
        assert_eq!(text(xml, "Open"), None);
        assert_eq!(text(xml, "None"), None);
        assert_eq!(escape("a<&>"), "a&lt;&amp;&gt;");
    }
}
