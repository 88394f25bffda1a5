//! Texts that other people chose, such as the names of instances, made safe for a message.

/// The maximum number of characters of such a text in a message.
const LONGEST: usize = 64;

/// The text in one line of at most 64 characters, without control characters, characters that turn
/// the direction of writing, `://` and `www.`. A mail program may still link a bare `example.com`,
/// which names of machines look like, too.
pub(crate) fn plain(text: &str) -> String {
    let seen = text.chars().filter(|&c| !c.is_control() && !is_invisible(c));
    let seen: String = seen.collect();
    let mut unlinked = seen.replace("://", ": / /");
    while let Some(at) = unlinked.to_ascii_lowercase().find("www.") {
        unlinked.replace_range(at + 3..at + 4, " ");
    }
    let mut characters = unlinked.trim().chars();
    let cut: String = characters.by_ref().take(LONGEST).collect();
    match characters.next() {
        Some(_) => format!("{}...", cut.trim_end()),
        None => cut,
    }
}

/// Whether a character takes no space of its own: marks of direction, joiners, byte-order marks.
/// (Unicode, general category Cf)
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_as_it_is() {
        for name in ["web-1", "Köln 3", "db.prod.internal", "a/b", "数据库"] {
            assert_eq!(plain(name), name);
        }
    }

    #[test]
    fn a_text_cannot_pretend_to_be_another() {
        assert_eq!(plain("web\n\rSubject: you won\u{7}"), "webSubject: you won");
        assert_eq!(plain("\u{202e}exe.bew\u{200b}"), "exe.bew");
        assert_eq!(plain("see https://evil.example/x"), "see https: / /evil.example/x");
        assert_eq!(plain(" WWW.evil.example"), "WWW evil.example");
        assert_eq!(plain("see www.evil.example"), "see www evil.example");
        assert_eq!(plain(&"x".repeat(300)), format!("{}...", "x".repeat(64)));
        assert_eq!(plain(" \t "), "");
    }
}
