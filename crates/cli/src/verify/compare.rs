//! Two texts that should be the same.

use wio_core::entra::Claim;

use super::data::Difference;

/// How two values differ; none when they are the same.
pub(crate) fn difference(claim: Claim, token: &str, credential: &str) -> Option<Difference> {
    (token != credential).then(|| Difference {
        claim: claim.to_string(),
        token: token.to_owned(),
        credential: credential.to_owned(),
        same_characters: in_common(token, credential),
    })
}

/// How many characters two texts have in common at their beginning.
pub(crate) fn in_common(one: &str, other: &str) -> usize {
    one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count()
}

// === impl Difference ===

impl Difference {
    /// The first characters that differ, in words: what cannot be seen has a name.
    pub(crate) fn in_words(&self) -> String {
        let at = |text: &str| match text.chars().nth(self.same_characters) {
            None => "ends".to_owned(),
            Some(c) if c.is_ascii_graphic() => format!("has {c}"),
            Some(c) => format!("has {}", c.escape_unicode()),
        };
        format!("the token {}, the credential {}", at(&self.token), at(&self.credential))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(token: &str, credential: &str) -> Option<(usize, String)> {
        let difference = difference(Claim::Issuer, token, credential)?;
        Some((difference.same_characters, difference.in_words()))
    }

    #[test]
    fn the_first_characters_that_differ_are_found_and_named() {
        let told = |count, words: &str| Some((count, words.to_owned()));
        assert_eq!(words("https://a/", "https://a/"), None);
        assert_eq!(
            words("https://a/", "https://a"),
            told(9, "the token has /, the credential ends")
        );
        assert_eq!(words("", "x"), told(0, "the token ends, the credential has x"));
        assert_eq!(
            words("é\u{a0}b", "éa"),
            told(1, "the token has \\u{a0}, the credential has a")
        );
    }
}
