//! Keys that other stores refuse, normalise or lose. A key is a string of bytes and nothing else.

use crate::support::Server;

/// Every byte of a key as a percent sign and two digits, or as it is where a path may hold it.
fn encoded(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    key.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a",
        "a/",
        "a/b",
        "a//b",
        "/a",
        "//",
        "/",
        ".",
        "..",
        "./y",
        "../x",
        "a/./b",
        "a/../b",
        "a/..",
        " ",
        "a ",
        " a",
        "a b",
        "a+b",
        "a%2Fb",
        "a%b",
        "%",
        "%41",
        "?",
        "a?b=c",
        "#",
        "a&b",
        "a=b",
        "<&>\"'",
        "a\\b",
        "a:b;c,d@e!f$g*(h)",
        "\u{e4}",
        "a\u{308}",
        "\u{1f600}",
        "\u{feff}",
        "\u{200b}",
        "\u{7f}",
        "tab\tkey",
        "line\nkey",
        "return\rkey",
        "\u{1}",
        "a\u{1f}b",
        "null\0",
        "\u{fffe}",
        "\u{ffff}",
        "versionId",
        "health/live",
    ]
    .map(str::to_owned)
    .into();
    keys.push("k".repeat(1024));
    keys.push("/".repeat(1024));
    keys.push("\u{1f600}".repeat(256));
    keys
}

async fn filled() -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    for key in keys() {
        server.http.put(&format!("/bucket/{}", encoded(&key)), key.clone()).await.ok();
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_itself_and_no_other() {
    let server = filled().await;
    for key in keys() {
        let target = format!("/bucket/{}", encoded(&key));
        assert_eq!(server.http.get(&target).await.ok().body, key, "{key:?}");
        server.http.ask("HEAD", &target).send().await.ok();
    }
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let page = format!("/bucket?continuation-token={token}&encoding-type=url&list-type=2&max-keys=7");
        let page = if token.is_empty() { page.replace("continuation-token=&", "") } else { page };
        let page = server.http.get(&page).await.ok();
        listed.extend(page.all("Key"));
        match page.xml("NextContinuationToken") {
            Some(next) => token = encoded(&next),
            None => break,
        }
    }
    let decoded: Vec<_> = listed.iter().map(|key| urldecoded(key)).collect();
    let mut expected = keys();
    expected.sort();
    assert_eq!(decoded, expected, "all of them, in the order of their bytes");
    for key in keys() {
        assert_eq!(server.http.delete(&format!("/bucket/{}", encoded(&key))).await.status, 204, "{key:?}");
    }
    assert_eq!(server.http.delete("/bucket").await.status, 204, "nothing is left");
}

fn urldecoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                u8::from_str_radix(&format!("{}{}", rest.next().unwrap() as char, rest.next().unwrap() as char), 16)
                    .unwrap()
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_listing_is_xml_that_cannot_be_read() {
    let server = filled().await;
    for target in ["/bucket", "/bucket?list-type=2", "/bucket?versions", "/bucket?delimiter=%01", "/bucket?prefix=%01"]
    {
        let page = server.http.get(target).await.ok();
        let text = String::from_utf8(page.body.to_vec()).unwrap();
        let unreadable =
            |char: char| char < ' ' && !matches!(char, '\t' | '\n') || matches!(char, '\u{fffe}' | '\u{ffff}');
        assert_eq!(text.find(unreadable), None, "{target}: {text}");
        assert!(!text.contains("&#x1;") && !text.contains("&#1;"), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carriage_return_survives_xml() {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    server.http.put("/bucket/return%0Dkey", "x").await.ok();
    let listed = server.http.get("/bucket?list-type=2").await.ok();
    assert_eq!(listed.xml("Key").as_deref(), Some("return&#13;key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_text_delimits() {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    for key in ["x--1", "x--2", "y-1", "z\u{20ac}1"] {
        server.http.put(&format!("/bucket/{}", encoded(key)), "x").await.ok();
    }
    for (delimiter, prefixes, keys) in [
        ("--", &["x--"][..], &["y-1", "z\u{20ac}1"][..]),
        ("-", &["x-", "y-"], &["z\u{20ac}1"]),
        ("\u{20ac}", &["z\u{20ac}"], &["x--1", "x--2", "y-1"]),
        ("1", &["x--1", "y-1", "z\u{20ac}1"], &["x--2"]),
    ] {
        let page = server.http.get(&format!("/bucket?delimiter={}&list-type=2", encoded(delimiter))).await.ok();
        let found: Vec<_> = page
            .all("CommonPrefixes")
            .iter()
            .map(|text| text.replace("<Prefix>", "").replace("</Prefix>", ""))
            .collect();
        assert_eq!(
            (found, page.all("Key")),
            (prefixes.iter().map(|p| (*p).to_owned()).collect(), keys.iter().map(|k| (*k).to_owned()).collect()),
            "{delimiter}"
        );
    }
}
