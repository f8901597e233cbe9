//! The page about both, and the same for a terminal.

use std::fmt::Write;

use wio_azure_sim::Limits;
use wio_e2e::progress::aligned;

use crate::figures::Bar;
use crate::{ACCOUNTS, LATENCY};

/// Figures that belong together.
pub(crate) struct Section {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

/// One figure of both.
pub(super) struct Row {
    what: String,
    ours: f64,
    theirs: f64,
    unit: Unit,
    bar: Bar,
}

/// How a number is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Seconds,
    Megabytes,
    Mebibytes,
    /// How often something happens for each of something.
    Count,
    /// How often something happens.
    Whole,
}

const HEADER: &str = include_str!("header.md");
const DIFFERENCES: &str = include_str!("differences.md");

/// The tables for a terminal.
pub(crate) fn plain(sections: &[Section]) -> String {
    let mut text = String::new();
    for Section { title, rows } in sections {
        let header = [title, "ours", "theirs", "theirs / ours", "bar", ""].map(ToString::to_string);
        let rows = rows.iter().map(Row::cells);
        text += &aligned(&std::iter::once(header).chain(rows).collect::<Vec<_>>());
        text.push('\n');
    }
    text
}

/// The page in docs/bench.
pub(crate) fn markdown(sections: &[Section], machine: &str) -> String {
    let limits = Limits::default();
    let mut text = HEADER
        .replace("{machine}", machine)
        .replace("{accounts}", &ACCOUNTS.to_string())
        .replace("{latency}", &LATENCY.as_millis().to_string())
        .replace("{writes}", &limits.writes.capacity.to_string())
        .replace("{writes a second}", &limits.writes.per_second.to_string())
        .replace("{creations}", &limits.creations_in_subscription.count.to_string())
        .replace(
            "{window}",
            &limits.creations_in_subscription.window.as_secs().to_string(),
        )
        .replace("{interval}", &super::INTERVAL.as_secs().to_string())
        .replace("{intervals}", &super::INTERVALS.to_string())
        .replace("{settled}", &super::SETTLED.as_secs().to_string())
        .replace("{quiet}", &super::place::QUIET.as_secs().to_string());
    for Section { title, rows } in sections {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n## {title}\n| | ours | theirs | theirs / ours | bar | |\n|---|---|---|---|---|---|"
        );
        for row in rows {
            let _ = writeln!(text, "| {} |", row.cells().join(" | "));
        }
    }
    text.push_str("\n## Where ours is worse\n");
    if !sections.iter().flat_map(|it| &it.rows).any(Row::is_worse) {
        text.push_str("In none of these figures.\n");
    }
    for Section { title, rows } in sections {
        for row in rows.iter().filter(|row| row.is_worse()) {
            let [what, ours, theirs, ..] = row.cells();
            let _ = writeln!(text, "- {title}, {what}: {ours} beside {theirs}.");
        }
    }
    text + DIFFERENCES
}

// === impl Row ===

impl Row {
    pub(super) fn new(what: &str, (ours, theirs): (f64, f64), unit: Unit) -> Self {
        Self {
            what: what.to_owned(),
            ours,
            theirs,
            unit,
            bar: Bar::None,
        }
    }

    /// The same, where theirs is to be so many times ours at the least.
    pub(super) fn at_least(self, times: f64) -> Self {
        let bar = Bar::at_least(self.theirs / self.ours, times);
        Self { bar, ..self }
    }

    /// Whether it is ours that needs more.
    fn is_worse(&self) -> bool {
        self.ours > self.theirs
    }

    fn cells(&self) -> [String; 6] {
        [
            self.what.clone(),
            self.unit.text(self.ours),
            self.unit.text(self.theirs),
            self.ratio(),
            self.bar.text(),
            self.bar.verdict().to_owned(),
        ]
    }

    /// How many times ours theirs is; nothing where ours is nothing.
    fn ratio(&self) -> String {
        let ratio = self.theirs / self.ours;
        match ratio {
            _ if !ratio.is_finite() => "–".to_owned(),
            10.0.. => format!("{ratio:.0}"),
            1.0.. => format!("{ratio:.1}"),
            _ => format!("{ratio:.2}"),
        }
    }
}

// === impl Unit ===

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.1} s"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            // What is little is not nothing.
            Self::Count if value > 0.0 && value < 0.1 => format!("{value:.2}"),
            Self::Count => format!("{value:.1}"),
            Self::Whole => format!("{value:.0}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(ours: f64, theirs: f64) -> Section {
        Section {
            title: "50 new bindings".to_owned(),
            rows: vec![Row::new("memory", (ours, theirs), Unit::Mebibytes).at_least(10.0)],
        }
    }

    #[test]
    fn the_ratio_and_the_bar_stand_beside_each_figure() {
        for (ours, theirs, row) in [
            (10.0, 204.0, "| memory | 10.0 MiB | 204.0 MiB | 20 | ≥ 10 | reached |"),
            (10.0, 31.0, "| memory | 10.0 MiB | 31.0 MiB | 3.1 | ≥ 10 | missed |"),
            (10.0, 1.0, "| memory | 10.0 MiB | 1.0 MiB | 0.10 | ≥ 10 | missed |"),
            (0.0, 3.0, "| memory | 0.0 MiB | 3.0 MiB | – | ≥ 10 | reached |"),
        ] {
            let page = markdown(&[section(ours, theirs)], "2 cores");
            assert!(page.contains(row), "{page}");
        }
    }

    #[test]
    fn what_is_worse_of_ours_is_said_so() {
        let told = "- 50 new bindings, memory: 3.0 MiB beside 2.0 MiB.";
        assert!(markdown(&[section(3.0, 2.0)], "2 cores").contains(told));
        let none = markdown(&[section(2.0, 3.0)], "2 cores");
        assert!(!none.contains("- 50 new bindings") && none.contains("In none of these figures."));
    }

    #[test]
    fn nothing_of_the_page_is_left_open() {
        let page = markdown(&[section(1.0, 2.0)], "2 cores");
        assert!(page.contains("Machine: 2 cores.") && !page.contains('{'), "{page}");
    }
}
