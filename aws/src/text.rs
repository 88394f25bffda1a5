//! Text of files that people write: in UTF-8 or UTF-16, with or without a byte order mark.

use std::borrow::Cow;

/// An error shows at most this many characters of a file.
const SHOWN: usize = 60;

/// A file that is no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no text in {encoding} (`{shown}`): save the file as UTF-8")]
pub struct NoText {
    /// The line with the first faulty byte, from 1.
    pub line: usize,
    /// The encoding that the file seems to have.
    pub encoding: &'static str,
    /// What was read of that line last.
    pub shown: String,
}

/// The text of a file, without its byte order mark.
///
/// Spreadsheets and Windows write UTF-16. Without a mark it shows by a zero byte beside the first
/// letter, as texts begin with an ASCII character here.
///
/// # Errors
/// [`NoText`] where the bytes are neither UTF-8 nor UTF-16.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, NoText> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks(2).map(|pair| whole(pair).map_or(0, unit)).collect();
        let whole = bytes.len().is_multiple_of(2);
        match String::from_utf16(&units).ok().filter(|text| whole && !text.contains('\0')) {
            Some(text) => Ok(Cow::Owned(text)),
            None => Err(fault(&faulty(&units), "UTF-16")),
        }
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [first, 0, ..] if *first != 0 => wide(bytes, u16::from_le_bytes),
        [0, second, ..] if *second != 0 => wide(bytes, u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            match std::str::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => Ok(Cow::Borrowed(text)),
                Ok(text) => Err(fault(&text[..=text.find('\0').unwrap_or(0)], "UTF-8")),
                Err(error) => {
                    // One character beyond the good part: it stands for the faulty byte.
                    let until = bytes.len().min(error.valid_up_to() + 1);
                    Err(fault(&String::from_utf8_lossy(&bytes[..until]), "UTF-8"))
                }
            }
        }
    }
}

fn whole(pair: &[u8]) -> Option<[u8; 2]> {
    pair.try_into().ok()
}

/// The text to its first fault, which is a replacement character.
fn faulty(units: &[u16]) -> String {
    let mut text = String::new();
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(letter) if letter != '\0' => text.push(letter),
            _ => break,
        }
    }
    text.push(char::REPLACEMENT_CHARACTER);
    text
}

/// The error of a file whose text is `read` up to its first fault.
fn fault(read: &str, encoding: &'static str) -> NoText {
    let last = read.rsplit('\n').next().unwrap_or_default();
    let letter = |letter: char| match letter.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => letter,
    };
    // Its end, where the fault is.
    let before = last.chars().count().saturating_sub(SHOWN);
    let shown = last.chars().skip(before).map(letter).collect();
    NoText { line: read.matches('\n').count() + 1, encoding, shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_in_every_encoding() {
        for text in ["time,value\n300,1.5\n", "{}", "{\"mutes\": \"Zürich 🌙\"}", "a"] {
            let wide = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
                text.encode_utf16().flat_map(unit).collect()
            };
            let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
            let files = [
                text.as_bytes().to_vec(),
                [b"\xef\xbb\xbf", text.as_bytes()].concat(),
                [&[0xff, 0xfe], &little[..]].concat(),
                [&[0xfe, 0xff], &big[..]].concat(),
                little,
                big,
            ];
            for file in files {
                assert_eq!(decode(&file).as_deref(), Ok(text), "{file:?}");
            }
        }
        for mark in [&b""[..], b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"] {
            assert_eq!(decode(mark).as_deref(), Ok(""), "{mark:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_told_with_its_line() {
        let cases: [(&[u8], usize, &str, &str); 7] = [
            (b"a,b\nc,\xfcber\n", 2, "UTF-8", "c,\u{fffd}"),
            (b"ab\0", 1, "UTF-8", "ab\u{fffd}"),
            (b"\0\0", 1, "UTF-8", "\u{fffd}"),
            (b"\xff\xfea\0\n\0b", 2, "UTF-16", "\u{fffd}"),
            (b"\xff\xfea\0\x00\xd8b\0", 1, "UTF-16", "a\u{fffd}"),
            (b"\xfe\xff\0a\0\0", 1, "UTF-16", "a\u{fffd}"),
            (b"\xff", 1, "UTF-8", "\u{fffd}"),
        ];
        for (bytes, line, encoding, shown) in cases {
            let error = decode(bytes).unwrap_err();
            assert_eq!(error, NoText { line, encoding, shown: shown.into() }, "{bytes:?}");
        }
        let error = decode(b"a\n\xff").unwrap_err().to_string();
        assert_eq!(error, "line 2 is no text in UTF-8 (`\u{fffd}`): save the file as UTF-8");
        assert_eq!(decode(&[b'x'; 99]).map(|text| text.len()), Ok(99));
        let shown = decode(&[&[b'x'; 99][..], b"\xff"].concat()).unwrap_err().shown;
        assert_eq!((shown.chars().count(), shown.ends_with("x\u{fffd}")), (SHOWN, true));
    }
}
