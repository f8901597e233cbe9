//! Some short texts in one piece of memory: each of its own takes up to twice its length.

/// So many texts, of which some may be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined<const N: usize> {
    all: Box<str>,
    /// How long each is.
    lengths: [u16; N],
}

/// The length of one that is none.
const NONE: u16 = u16::MAX;

// === impl Joined ===

impl<const N: usize> Joined<N> {
    /// Joins them. One that is longer than anything that is kept of an object ([`super::kept`]) is none.
    pub(super) fn of(texts: [Option<&str>; N]) -> Self {
        let length = |text: &str| u16::try_from(text.len()).ok().filter(|length| *length != NONE);
        let texts = texts.map(|text| text.and_then(|text| Some((text, length(text)?))));
        Self {
            all: texts.iter().flatten().map(|(text, _)| *text).collect(),
            lengths: texts.map(|text| text.map_or(NONE, |(_, length)| length)),
        }
    }

    /// The texts, as they were.
    pub(super) fn texts(&self) -> [Option<&str>; N] {
        let mut rest = &*self.all;
        self.lengths.map(|length| {
            let length = Some(length).filter(|length| *length != NONE)?;
            let (text, others) = rest.split_at_checked(length.into())?;
            rest = others;
            Some(text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_joined_comes_apart_as_it_was() {
        let texts = [None, Some("a"), Some(""), Some("…ü"), None, Some("b")];
        assert_eq!(Joined::of(texts).texts(), texts);
    }

    #[test]
    fn one_that_is_too_long_leaves_the_others_as_they_are() {
        let long = "x".repeat(NONE.into());
        assert_eq!(
            Joined::of([Some("a"), Some(&long), Some("b")]).texts(),
            [Some("a"), None, Some("b")]
        );
        let longest = "x".repeat(usize::from(NONE) - 1);
        assert_eq!(Joined::of([Some(longest.as_str())]).texts(), [Some(longest.as_str())]);
    }
}
