//! The capability in what a person pasted: with blanks around it, percent-encoded, or in an
//! address.
//!
//! ```text
//! URI%3ATLN1%3A...                                     as browsers and scripts copy it
//! http://HOST/uri/CAP                                  a page of a Tahoe-LAFS gateway, and
//! http://HOST/uri/CAP?filename=NAME                        what may follow there
//! http://HOST/file/CAP/@@named=/NAME                   a download
//! http://HOST/uri?uri=CAP                              a form
//! ```

use std::borrow::Cow;

use super::error::CapError;

/// The text of the capability; of anything else, the text as it is.
pub(super) fn unwrap(pasted: &str) -> Result<Cow<'_, str>, CapError> {
    let pasted = pasted.trim();
    match after_scheme(pasted) {
        Some(address) => in_address(address),
        None => Ok(decode(pasted)),
    }
}

/// What follows `http://` or `https://`.
fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_http.then_some(rest)
}

fn in_address(address: &str) -> Result<Cow<'_, str>, CapError> {
    let address = address
        .split_once('#')
        .map_or(address, |(before, _)| before);
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let mut segments = path.split('/').skip(1);
    let mut before = "";
    while let Some(segment) = segments.next() {
        let text = decode(segment);
        if is_capability(&text) {
            // A download page has a name behind the capability, which means nothing.
            let is_named = matches!(before, "file" | "named");
            let within = segments
                .take_while(|segment| !segment.starts_with("@@named"))
                .any(|segment| !segment.is_empty());
            return if within && !is_named && !has_parts(&text) {
                Err(CapError::Path)
            } else {
                Ok(text)
            };
        }
        before = segment;
    }
    query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("uri="))
        .map(decode)
        .find(|text| is_capability(text))
        .ok_or(CapError::Address)
}

fn is_capability(text: &str) -> bool {
    ["URI:", "ro.URI:", "imm.URI:"]
        .into_iter()
        .any(|start| text.starts_with(start))
}

/// Whether a path may follow the capability: directories are named before anything else is said.
fn has_parts(text: &str) -> bool {
    text.contains("URI:DIR2")
}

/// Undoes percent-encoding; what is not percent-encoded text is left as it is.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.split_first_chunk::<2>());
        match escaped
            .flatten()
            .and_then(|(hex, after)| Some((byte(*hex)?, after)))
        {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The byte that two hexadecimal digits stand for.
fn byte(hex: [u8; 2]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(hex[0])? * 16 + digit(hex[1])?).ok()
}
