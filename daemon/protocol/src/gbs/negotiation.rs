//! In what form bodies come and answers go: CBOR, and nothing else.
//!
//! Types are compared with case, as Tahoe does. Of several headers of one name the first counts.

use super::CBOR;
use super::rejection::Rejection;

/// Checks that a request's body is CBOR; without a `Content-Type` it is.
///
/// # Errors
///
/// [`Rejection::ContentType`] if it names another type; parameters are ignored.
pub fn check_content_type<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<(), Rejection> {
    let Some(value) = values.next() else {
        return Ok(());
    };
    let media_type = value.split(|byte| *byte == b';').next();
    match media_type.map(<[u8]>::trim_ascii) == Some(CBOR.as_bytes()) {
        true => Ok(()),
        false => Err(Rejection::ContentType),
    }
}

/// Checks that a client takes CBOR; without an `Accept` it does.
///
/// The entry with the highest quality, the first of several, must be the type itself, without a
/// wildcard or a parameter. Entries whose quality is no number from 0 to 1 do not count.
///
/// # Errors
///
/// [`Rejection::Accept`] if it prefers another type.
pub fn check_accept<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<(), Rejection> {
    let Some(value) = values.next() else {
        return Ok(());
    };
    let mut best: Option<(&[u8], u16)> = None;
    for (entry, quality) in unquoted_split(value, b',').filter_map(parse_entry) {
        if best.is_none_or(|(_, best)| quality > best) {
            best = Some((entry, quality));
        }
    }
    match best {
        Some((entry, _)) if entry == CBOR.as_bytes() => Ok(()),
        _ => Err(Rejection::Accept),
    }
}

/// The media type of an entry and its quality in thousandths. An entry with further parameters
/// keeps them, so that it equals no plain type.
fn parse_entry(entry: &[u8]) -> Option<(&[u8], u16)> {
    let entry = entry.trim_ascii();
    let mut parts = unquoted_split(entry, b';');
    let media_type = parts.next()?.trim_ascii();
    if entry.is_empty() {
        return None;
    }
    let (mut quality, mut plain) = (1000, true);
    for part in parts.map(<[u8]>::trim_ascii) {
        match part {
            [b'q' | b'Q', b'=', number @ ..] => quality = parse_quality(number)?,
            [] => {}
            _ => plain = false,
        }
    }
    Some((if plain { media_type } else { entry }, quality))
}

/// Reads `0`, `1`, or either with up to three decimals, as thousandths up to 1000.
fn parse_quality(text: &[u8]) -> Option<u16> {
    let (whole, decimals) = match text {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut quality = u16::from(whole - b'0');
    for index in 0..3 {
        let digit = decimals.get(index).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        quality = quality * 10 + u16::from(digit - b'0');
    }
    (quality <= 1000).then_some(quality)
}

/// Splits at a separator that does not stand between double quotes.
fn unquoted_split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return !quoted && *byte == separator,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content_type(value: &str) -> Result<(), Rejection> {
        check_content_type([value.as_bytes()].into_iter())
    }

    fn accept(value: &str) -> Result<(), Rejection> {
        check_accept([value.as_bytes()].into_iter())
    }

    #[test]
    fn a_body_is_cbor_or_refused() {
        assert_eq!(check_content_type([].into_iter()), Ok(()));
        for value in [
            "application/cbor",
            "application/cbor; charset=x",
            "application/cbor;",
            " application/cbor ;x",
        ] {
            assert_eq!(content_type(value), Ok(()), "{value}");
        }
        for value in [
            "",
            "Application/CBOR",
            "application/json",
            "application/cbor2",
            "application/cbor, application/json",
            "text/plain; application/cbor",
        ] {
            assert_eq!(content_type(value), Err(Rejection::ContentType), "{value}");
        }
    }

    #[test]
    fn the_best_entry_decides() {
        assert_eq!(check_accept([].into_iter()), Ok(()));
        for value in [
            "application/cbor",
            "application/cbor;q=0.1",
            "application/cbor; q=1.000",
            "application/json;q=0.5, application/cbor",
            "*/*;q=0.999,application/cbor",
            "application/cbor, application/json",
            "application/json;q=2, application/cbor;q=0.3",
            "application/json;q=x, application/cbor;q=0.3",
            ", application/cbor ,",
            "text/plain;x=\"\\\",application/json\";q=0.2, application/cbor;q=0.3",
        ] {
            assert_eq!(accept(value), Ok(()), "{value}");
        }
        for value in [
            "",
            ",",
            "*/*",
            "application/*",
            "application/json",
            "application/json, application/cbor",
            "application/cbor;q=0.5, application/json",
            "application/cbor;version=1",
            "Application/Cbor",
            "application/cbor;q=1.1",
            "application/cbor;q=0.0001",
            "application/cbor;q=-1",
            "text/plain;x=\", application/cbor",
        ] {
            assert_eq!(accept(value), Err(Rejection::Accept), "{value}");
        }
    }

    #[test]
    fn of_several_headers_the_first_counts() {
        let values = [&b"application/cbor"[..], b"application/json"];
        assert_eq!(check_accept(values.into_iter()), Ok(()));
        assert_eq!(check_content_type(values.into_iter()), Ok(()));
        let values = [&b"application/json"[..], b"application/cbor"];
        assert!(check_accept(values.into_iter()).is_err());
        assert!(check_content_type(values.into_iter()).is_err());
    }
}
