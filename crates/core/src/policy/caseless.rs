//! Regular expressions for names of resource groups in whatever case, letters beyond ASCII among them, of which CEL knows no case.
//! How Azure compares those is not written down: as in `authorize`, names are one when their capitals or their small letters are.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::LazyLock;

/// The letters of which the capitals are several letters, as those of `ß` are `SS`, with these.
static SEVERAL_CAPITALS: LazyLock<Vec<(char, Vec<char>)>> = LazyLock::new(|| {
    // All of them are here. To look at every letter takes ten times as long, at each start.
    several_capitals(('\u{df}'..='\u{1fff}').chain('\u{fb00}'..='\u{fb4f}'))
});

fn several_capitals(letters: impl Iterator<Item = char>) -> Vec<(char, Vec<char>)> {
    let capitals = |c: char| (c, c.to_uppercase().collect::<Vec<_>>());
    // Whether it is a letter takes long to find out, and most have one capital.
    let several = letters.filter(|c| c.to_uppercase().len() > 1).map(capitals);
    several.filter(|(c, _)| c.is_alphanumeric()).collect()
}

/// An expression, to be read without regard to case, for names that may be the same. It may mean some more that have such letters.
pub(super) fn expression(name: &str) -> String {
    let capitals: Vec<char> = name.to_uppercase().chars().collect();
    let mut expression = String::new();
    let mut rest = capitals.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let (length, letters) = cluster(rest);
        match rest.split_at_checked(length) {
            Some((several, after)) if length > 0 => {
                let plain: String = several.iter().map(|c| one(*c)).collect();
                let any: String = several
                    .iter()
                    .chain(&letters)
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect();
                let letters: String = letters.into_iter().collect();
                let _ = write!(expression, "(?:{plain}|[{any}]*[{letters}][{any}]*)");
                rest = after;
            }
            _ => {
                expression += &one(*first);
                rest = after;
            }
        }
    }
    expression
}

/// How many of the first capitals can be those of single letters, and of which: in `SSS` the first two and the last two.
fn cluster(capitals: &[char]) -> (usize, BTreeSet<char>) {
    let mut letters = BTreeSet::new();
    let mut length = 0;
    let mut at = 0;
    while at == 0 || at < length {
        let rest = capitals.get(at..).unwrap_or_default();
        for (letter, several) in SEVERAL_CAPITALS.iter().filter(|(_, several)| rest.starts_with(several)) {
            letters.insert(*letter);
            length = length.max(at + several.len());
        }
        at += 1;
    }
    (length, letters)
}

fn one(c: char) -> String {
    match c {
        // The dotted and the dotless one are cases of the same letter to some and of two to regular expressions.
        'I' | 'ı' | 'İ' => "[iıİ]".to_owned(),
        _ if c.is_alphanumeric() || c == '-' || c == '_' => c.to_string(),
        _ => format!("\\{c}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_letter_elsewhere_has_several_capitals() {
        assert_eq!(*SEVERAL_CAPITALS, several_capitals('\0'..=char::MAX));
    }
}
