//! Sizes and times as people type them: `10MiB`, `4k`, `90s`, `2m`.

use std::time::Duration;

use cairn_core::units::{GIB, KIB, MIB, TIB};

/// Units of size. Those with a bare letter mean powers of two, as everywhere among those who measure disks with `dd`.
const SIZES: [(&str, u64); 15] = [
    ("", 1),
    ("b", 1),
    ("k", KIB),
    ("kib", KIB),
    ("kb", 1000),
    ("m", MIB),
    ("mib", MIB),
    ("mb", 1_000_000),
    ("g", GIB),
    ("gib", GIB),
    ("gb", 1_000_000_000),
    ("t", TIB),
    ("tib", TIB),
    ("tb", 1_000_000_000_000),
    ("bytes", 1),
];

/// Units of time, in milliseconds.
const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("", 1000), ("m", 60_000), ("h", 3_600_000)];

/// A number of bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, &SIZES).ok_or_else(|| "not a size such as 4KiB, 10MiB or 1048576".to_owned())
}

/// A time.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let millis = parse(text, &TIMES).ok_or_else(|| "not a time such as 500ms, 30s or 5m".to_owned())?;
    Ok(Duration::from_millis(millis))
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A size for people, in the largest unit that leaves at least one whole of it.
pub fn show_size(bytes: u64) -> String {
    let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_they_are_meant() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4KiB", 4096),
            ("4k", 4096),
            ("4 kb", 4000),
            ("10MiB", 10 << 20),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "4XiB", "99999999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("2m"), Ok(Duration::from_secs(120)));
        assert!(parse_time("soon").is_err());
    }

    #[test]
    fn sizes_are_shown_in_whole_units_where_they_are_whole() {
        assert_eq!(show_size(4096), "4 KiB");
        assert_eq!(show_size(10 << 20), "10 MiB");
        assert_eq!(show_size(1_500_000), "1.4 MiB");
        assert_eq!(show_size(12), "12 B");
    }
}
