//! Instants as HTTP and AWS's logs write them.

use base::Timestamp;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Year, month from 1, day, hour, minute, second.
fn civil(at: Timestamp) -> (i64, usize, i64, i64, i64, i64) {
    let secs = at.as_secs();
    let (days, rest) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    // Days from 0000-03-01: years that begin in March have their leap day last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as usize, day, rest / 3_600, rest / 60 % 60, rest % 60)
}

/// `Tue, 27 Feb 2024 11:21:53 GMT`: RFC 9110's date.
pub fn http_date(at: Timestamp) -> String {
    let (year, month, day, hour, minute, second) = civil(at);
    let weekday = DAYS[at.as_secs().div_euclid(86_400).rem_euclid(7) as usize];
    format!("{weekday}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT", MONTHS[month - 1])
}

/// `2024-02-27T11:21:53.000123Z`: as logs have it, with microseconds.
pub fn log_time(at: Timestamp) -> String {
    let (year, month, day, hour, minute, second) = civil(at);
    let micros = at.as_micros().rem_euclid(1_000_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}
