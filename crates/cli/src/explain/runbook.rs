//! The runbook, as it was when the plugin was built: `docs/runbook.md`.

use super::data::Passage;

const RUNBOOK: &str = include_str!("../../../../docs/runbook.md");

/// A section, and what stands in it.
struct Section<'a> {
    title: &'a str,
    body: &'a str,
}

/// What the runbook says of a reason: the section that has its name, and those that the index names for it, or of them the row that names
/// it; else the rows of other sections, and else the paragraphs.
pub(crate) fn about(reason: &str) -> Vec<Passage> {
    passages(RUNBOOK, reason)
}

fn passages(runbook: &str, reason: &str) -> Vec<Passage> {
    let quoted = format!("`{reason}`");
    let (index, rest) = runbook.split_once("\n## ").unwrap_or((runbook, ""));
    let sections: Vec<Section> = rest.split("\n## ").filter_map(Section::parse).collect();
    let named: Vec<&str> = rows(index, &quoted).collect();
    let leads_to = |section: &&Section| {
        let link = format!("(#{})", section.anchor());
        let is_its = section.title.split(' ').next_back() == Some(reason);
        is_its || named.iter().any(|row| row.contains(&link))
    };
    let of_index: Vec<Passage> = sections
        .iter()
        .filter(leads_to)
        .map(|section| {
            let row = section.row(&quoted);
            section.passage(&row.unwrap_or_else(|| section.body.to_owned()))
        })
        .collect();
    if !of_index.is_empty() {
        return of_index;
    }
    let row = |section: &Section| Some(section.passage(&section.row(&quoted)?));
    let of_rows: Vec<Passage> = sections.iter().filter_map(row).collect();
    if !of_rows.is_empty() {
        return of_rows;
    }
    let paragraphs = |section: &Section| {
        let paragraphs = section.body.split("\n\n").filter(|text| text.contains(&quoted));
        let text: Vec<&str> = paragraphs.collect();
        (!text.is_empty()).then(|| section.passage(&text.join("\n\n")))
    };
    sections.iter().filter_map(paragraphs).collect()
}

/// The rows of tables whose first cell holds a text.
fn rows<'a>(text: &'a str, holds: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter(move |line| line.starts_with('|') && cells(line).next().is_some_and(|cell| cell.contains(holds)))
}

fn cells(row: &str) -> impl Iterator<Item = &str> {
    row.trim_matches('|').split(" | ").map(str::trim)
}

// === impl Section ===

impl<'a> Section<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (title, body) = text.split_once('\n')?;
        Some(Self {
            title: title.trim(),
            body: body.trim(),
        })
    }

    /// What links to it end with.
    fn anchor(&self) -> String {
        let lower = self.title.to_lowercase();
        let kept = lower.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    }

    /// The row that names a reason, a line for each further cell.
    fn row(&self, quoted: &str) -> Option<String> {
        let row = rows(self.body, quoted).next()?;
        let lines: Vec<&str> = cells(row).skip(1).collect();
        Some(lines.join("\n"))
    }

    fn passage(&self, text: &str) -> Passage {
        Passage {
            section: self.title.to_owned(),
            text: plain(text),
        }
    }
}

/// Markdown as a terminal shows it: links by their words, without emphasis and fences; code is set in.
fn plain(text: &str) -> String {
    let mut in_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if in_code {
            lines.push(format!("    {line}"));
        } else {
            lines.push(without_links(line).replace("**", ""));
        }
    }
    lines.join("\n")
}

fn without_links(line: &str) -> String {
    let mut words = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        words.push_str(before);
        let found = after.split_once("](").and_then(|(text, after)| {
            let (_, after) = after.split_once(')')?;
            (!text.contains('[')).then_some((text, after))
        });
        if let Some((text, after)) = found {
            let number = text.parse::<u32>().is_ok();
            words.push_str(if number { "section " } else { "" });
            words.push_str(text);
            rest = after;
        } else {
            words.push('[');
            rest = after;
        }
    }
    words + rest
}

#[cfg(test)]
mod tests {
    use wio_api::Reason;

    use super::*;

    const BOOK: &str = "# Book
| you see | section |
|---|---|
| reason `Locked` | [1](#1-locked-and-lost) |
| reason `Gone` | [2](#2-others) |

## 1 Locked, and lost
**Why.** A lock; see [the page](page.md#x).
```sh
az lock [delete]
```

## 2 Others
| reason | what it means |
|---|---|
| `Gone`, `Away` | it is not there; [1](#1-locked-and-lost) |

And `Late` comes late.
";

    fn told(reason: &str) -> Vec<(String, String)> {
        let passages = passages(BOOK, reason).into_iter();
        passages.map(|one| (one.section, one.text)).collect()
    }

    #[test]
    fn a_reason_has_its_section_its_row_or_its_paragraph() {
        let locked = "Why. A lock; see the page.\n    az lock [delete]";
        assert_eq!(told("Locked"), [("1 Locked, and lost".to_owned(), locked.to_owned())]);
        let row = ("2 Others".to_owned(), "it is not there; section 1".to_owned());
        assert_eq!(told("Gone"), vec![row]);
        assert_eq!(told("Away"), told("Gone"));
        assert_eq!(
            told("Late"),
            [("2 Others".to_owned(), "And `Late` comes late.".to_owned())]
        );
        assert_eq!(told("Other"), []);
    }

    #[test]
    fn every_reason_has_a_passage() {
        for reason in Reason::ALL {
            let passages = about(reason.as_str());
            assert!(passages.iter().all(|one| one.text.len() > 10), "{reason}: {passages:?}");
            assert!(!passages.is_empty(), "{reason}");
        }
    }

    #[test]
    fn a_reason_is_found_in_its_section() {
        for (reason, section) in [
            ("MassDisappearance", "1 MassDisappearance"),
            ("NotPermitted", "4 NotPermitted"),
            ("DeletionBlocked", "3 DeletionBlocked"),
            ("Throttled", "16 Every other reason"),
            ("ClusterIdShared", "12 ClusterIdShared"),
        ] {
            let first = about(reason).into_iter().next().unwrap();
            assert_eq!(first.section, section);
        }
    }
}
