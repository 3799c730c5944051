//! Scalars as text: base64, instants, and the numbers that are none.

use base::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::schema::TimeFormat;

/// The year 9999's end, in seconds; AWS's own limit of timestamps.
const LAST_SECOND: i64 = 253_402_300_799;

pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn blob(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// `NaN`, `Infinity`, `-Infinity`.
pub fn special_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// The name of a double that is not finite.
pub fn special_name(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "NaN",
        value if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

/// A double in the protocols whose values are all text.
pub fn double(text: &str) -> Option<f64> {
    let is_number =
        text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'));
    special_double(text).or_else(|| if is_number { text.parse().ok() } else { None })
}

/// A double as text, in every protocol but JSON.
pub fn double_text(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { special_name(value).to_owned() }
}

/// A float, with no more digits than it has.
pub fn float_text(value: f32) -> String {
    if value.is_finite() { format!("{value:?}") } else { special_name(f64::from(value)).to_owned() }
}

/// An instant in one of the forms; `Default` reads as `DateTime`.
pub fn timestamp(text: &str, format: TimeFormat) -> Option<Timestamp> {
    match format {
        TimeFormat::EpochSeconds => epoch_seconds(text),
        TimeFormat::HttpDate => http_date(text),
        TimeFormat::DateTime | TimeFormat::Default => Timestamp::parse(text),
    }
}

fn epoch_seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: i64 = match whole.parse() {
        Ok(seconds) if is_plain => seconds,
        _ => return epoch_float(text.parse().ok()?),
    };
    if seconds.abs() > LAST_SECOND {
        return None;
    }
    let mut micros = 0;
    for place in 0..6 {
        micros = micros * 10 + i64::from(fraction.as_bytes().get(place).map_or(0, |digit| digit - b'0'));
    }
    let micros = if whole.starts_with('-') { -micros } else { micros };
    Some(Timestamp::from_micros(seconds * 1_000_000 + micros))
}

/// With an exponent: `1.7E9`.
fn epoch_float(seconds: f64) -> Option<Timestamp> {
    let fits = seconds.is_finite() && seconds.abs() <= LAST_SECOND as f64;
    fits.then(|| Timestamp::from_micros((seconds * 1e6).round() as i64))
}

/// `Sat, 21 Nov 2026 15:27:45 GMT`, with or without a fraction of the second.
fn http_date(text: &str) -> Option<Timestamp> {
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let (time, zone) = (words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let day: u8 = day.parse().ok()?;
    if zone != "GMT" {
        return None;
    }
    Timestamp::parse(&format!("{year}-{month:02}-{day:02}T{time}Z"))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// An instant in milliseconds, without its fraction where that is zero; `Default` writes as
/// `DateTime`.
pub fn time(at: Timestamp, format: TimeFormat) -> String {
    let millis = at.as_millis().rem_euclid(1000);
    match format {
        TimeFormat::EpochSeconds => epoch_text(at),
        TimeFormat::HttpDate => http_text(at),
        TimeFormat::DateTime | TimeFormat::Default if millis != 0 => at.iso8601(),
        TimeFormat::DateTime | TimeFormat::Default => at.iso8601().replace(".000Z", "Z"),
    }
}

fn epoch_text(at: Timestamp) -> String {
    let total = at.as_millis();
    let sign = if total < 0 { "-" } else { "" };
    let (seconds, millis) = (total.unsigned_abs() / 1000, total.unsigned_abs() % 1000);
    if millis == 0 {
        return format!("{sign}{seconds}");
    }
    let text = format!("{sign}{seconds}.{millis:03}");
    text.trim_end_matches('0').to_owned()
}

fn http_text(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(at) => at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        Err(_) => String::from("Thu, 01 Jan 1970 00:00:00 GMT"),
    }
}
