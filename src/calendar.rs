//! Days and moments of the Gregorian calendar, as signatures and people write them.

use cairn_core::WallTime;

/// A moment as people and programs read it: `2026-11-21T12:00:00.000Z`.
pub fn moment(time: WallTime) -> String {
    let (seconds, millis) = (time.as_millis() / 1000, time.as_millis() % 1000);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The day of the Gregorian calendar that is so many days after 1970-01-01. Counts from 1 March of year 0, so that the
/// leap day is the last of its year.
pub fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_follow_the_calendar() {
        assert_eq!(moment(WallTime(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(WallTime(1_709_210_096_007)), "2024-02-29T12:34:56.007Z");
    }
}
