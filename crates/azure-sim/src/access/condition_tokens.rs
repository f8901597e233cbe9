//! The words of a condition.

/// Whose attribute it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Request,
    Resource,
    /// The environment's or the principal's, which are not simulated.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Open,
    Close,
    Not,
    Word(&'a str),
    Attribute(Source, &'a str),
    Values(Vec<&'a str>),
}

pub(super) fn tokens(condition: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut left = condition.trim_start();
    while let Some(first) = left.chars().next() {
        let (token, rest) = match first {
            '(' => (Token::Open, left.get(1..)?),
            ')' => (Token::Close, left.get(1..)?),
            '!' => (Token::Not, left.get(1..)?),
            '\'' => {
                let (text, rest) = left.get(1..)?.split_once('\'')?;
                (Token::Values(vec![text]), rest)
            }
            '{' => {
                let (list, rest) = left.get(1..)?.split_once('}')?;
                let values = list.split(',').map(|value| value.trim().trim_matches('\''));
                (Token::Values(values.collect()), rest)
            }
            '@' => {
                let (source, rest) = left.get(1..)?.split_once('[')?;
                let (attribute, rest) = rest.split_once(']')?;
                let source = match source {
                    "Request" => Source::Request,
                    "Resource" => Source::Resource,
                    "Environment" | "Principal" => Source::Other,
                    _ => return None,
                };
                (Token::Attribute(source, attribute), rest)
            }
            _ => {
                let end = left.find(|c: char| c.is_whitespace() || "()!'{}@".contains(c));
                let (word, rest) = left.split_at(end.unwrap_or(left.len()));
                (Token::Word(word), rest)
            }
        };
        // A character that begins nothing would be looked at for ever.
        if rest.len() == left.len() {
            return None;
        }
        tokens.push(token);
        left = rest.trim_start();
    }
    Some(tokens)
}
