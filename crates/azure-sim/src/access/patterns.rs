//! The patterns in which roles and conditions name actions.

/// Whether the text has the pattern's form, in any case; a `*` stands for any text.
pub(crate) fn covers(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest
        .rsplit_once('*')
        .map_or((None, rest), |(middle, end)| (Some(middle), end));
    for part in middle.iter().flat_map(|middle| middle.split('*')) {
        let Some((_, after)) = left.split_once(part) else {
            return false;
        };
        left = after;
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(covers("*", "Microsoft.A/b/read"));
        assert!(covers("*/read", "Microsoft.A/b/READ") && !covers("*/read", "Microsoft.A/b/write"));
        assert!(covers("microsoft.a/*/read", "Microsoft.A/b/c/read") && !covers("Microsoft.A/*", "Microsoft.B/c/read"));
        assert!(covers("a*b*c", "a-b-c") && !covers("a*b*c", "a-c") && !covers("a*b*b", "a-b"));
        assert!(covers("a", "A") && !covers("a", "ab"));
    }
}
