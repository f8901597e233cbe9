//! Figures beside their bars, as a table for the terminal and for docs/bench.

use std::fmt::Write;

use wio_e2e::progress::aligned;

/// A figure of docs/bench.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// What came out, with its unit.
    pub(crate) measured: String,
    /// What DESIGN asks for.
    pub(crate) bar: Bar,
    /// How it was measured, and with which limits of Azure.
    pub(crate) how: String,
}

/// What a figure is held against.
#[derive(Clone, Debug)]
pub(crate) enum Bar {
    /// This much, which was reached or not.
    Is {
        /// The bar, with its unit.
        bar: String,
        /// Whether it was reached.
        reached: bool,
    },
    /// Nothing: the figure is there to be watched.
    None,
}

const HEADER: &str = "# Bench\n\nFigures of the operator beside their bars. `{command}` prints them and writes this file anew; \
nothing else\nasserts them, because speed and memory depend on the machine. [Why bars are missed](missed.md).\n";

const PARTS: &str = "Real: kube-apiserver with etcd and its audit log, all on the same machine. Simulated: Azure, with the \
limits and the\nlatency that each line names. The operator runs as a release build with its defaults, outside the cluster, \
with the access of\n`config/rbac`.\n";

/// The table for a terminal.
pub(crate) fn plain(figures: &[Figure]) -> String {
    let header = ["", "measured", "bar", ""].map(str::to_owned);
    let rows = figures.iter().map(|figure| {
        [
            figure.what.clone(),
            figure.measured.clone(),
            figure.bar.text(),
            figure.bar.verdict().to_owned(),
        ]
    });
    aligned(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

/// The page in docs/bench.
pub(crate) fn markdown(command: &str, figures: &[Figure], machine: &str) -> String {
    let header = HEADER.replace("{command}", command);
    let mut text = format!("{header}\nMachine: {machine}. {PARTS}\n| figure | measured | bar | |\n|---|---|---|---|\n");
    for figure in figures {
        let Figure {
            what, measured, bar, ..
        } = figure;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {what} | {measured} | {} | {} |", bar.text(), bar.verdict());
    }
    text.push_str("\n## How each is measured\n");
    for figure in figures {
        let _ = writeln!(text, "- **{}**: {}", figure.what, figure.how);
    }
    text
}

// === impl Bar ===

impl Bar {
    /// At most this much.
    pub(crate) fn at_most(measured: f64, bar: f64, unit: &str) -> Self {
        Self::Is {
            bar: format!("≤ {bar} {unit}").trim_end().to_owned(),
            reached: measured <= bar,
        }
    }

    /// At least this much.
    pub(crate) fn at_least(measured: f64, bar: f64) -> Self {
        Self::Is {
            bar: format!("≥ {bar}"),
            reached: measured >= bar,
        }
    }

    /// Exactly this many.
    pub(crate) fn exactly(measured: usize, bar: usize) -> Self {
        Self::Is {
            bar: bar.to_string(),
            reached: measured == bar,
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Is { bar, .. } => bar.clone(),
            Self::None => "–".to_owned(),
        }
    }

    pub(crate) fn verdict(&self) -> &'static str {
        match self {
            Self::Is { reached: true, .. } => "reached",
            Self::Is { reached: false, .. } => "missed",
            Self::None => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(measured: f64) -> Figure {
        Figure {
            what: "size".to_owned(),
            measured: format!("{measured} MB"),
            bar: Bar::at_most(measured, 15.0, "MB"),
            how: "by looking".to_owned(),
        }
    }

    #[test]
    fn a_bar_that_is_missed_is_called_so() {
        assert_eq!(
            plain(&[figure(15.0)]),
            "      measured  bar\nsize  15 MB     ≤ 15 MB  reached\n"
        );
        assert!(plain(&[figure(15.1)]).ends_with("missed\n"));
    }

    #[test]
    fn the_page_holds_each_figure_and_how_it_was_measured() {
        let page = markdown("make bench", &[figure(3.0)], "2 cores");
        for part in [
            "Machine: 2 cores.",
            "| size | 3 MB | ≤ 15 MB | reached |",
            "- **size**: by looking",
        ] {
            assert!(page.contains(part), "{page}");
        }
    }
}
