//! A tree of lines, each with a mark: what people read.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::plain;

/// How a line is to be taken. Marks differ by more than their colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// It is only said.
    None,
    /// It is as it should be.
    Good,
    /// It takes its time.
    Waiting,
    /// Somebody has to act.
    Bad,
}

/// A line, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    mark: Mark,
    text: String,
    children: Vec<Node>,
}

// === impl Mark ===

impl Mark {
    /// Good or bad.
    pub(crate) const fn of(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }

    const fn sign(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Good => "✓ ",
            Self::Waiting => "… ",
            Self::Bad => "✗ ",
        }
    }

    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::None => Style::new(),
            Self::Good => colour(AnsiColor::Green),
            Self::Waiting => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
        }
    }
}

// === impl Node ===

impl Node {
    pub(crate) fn new(mark: Mark, text: impl Into<String>) -> Self {
        Self {
            mark,
            text: text.into(),
            children: Vec::new(),
        }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(Mark::None, text)
    }

    pub(crate) fn with(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// Writes it with all that belongs to it. What comes from a cluster stands on one line and cannot move the cursor.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.line("", out)?;
        self.below("", out)
    }

    fn line(&self, before: &str, out: &mut impl Write) -> io::Result<()> {
        let style = self.mark.style();
        let sign = self.mark.sign();
        let text = plain(&self.text);
        writeln!(out, "{before}{style}{sign}{style:#}{text}")
    }

    fn below(&self, before: &str, out: &mut impl Write) -> io::Result<()> {
        for (index, child) in self.children.iter().enumerate() {
            let last = index + 1 == self.children.len();
            let (branch, trunk) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            child.line(&format!("{before}{branch}"), out)?;
            child.below(&format!("{before}{trunk}"), out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tenant_writes_cannot_move_the_cursor() {
        let mut out = anstream::StripStream::new(Vec::new());
        let tree =
            Node::plain("a\u{1b}[2Jb\nc").with([Node::new(Mark::Good, "d").with([Node::plain("e")]), Node::plain("f")]);
        tree.write(&mut out).unwrap();
        let text = String::from_utf8(out.into_inner()).unwrap();
        assert_eq!(text, "a [2Jb c\n├─ ✓ d\n│  └─ e\n└─ f\n");
    }
}
