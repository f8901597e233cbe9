//! What a person who waits is told: what is going on now, and at the end how long each part took.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};

/// The parts of a run, each told when it begins.
#[derive(Debug)]
pub struct Progress {
    begin: Instant,
    before: Vec<Took>,
    parts: RefCell<Vec<(String, Instant)>>,
}

/// How long a part took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Took {
    /// What it was.
    pub what: String,
    /// How long.
    pub time: Duration,
}

/// How headings and asides look: only on a terminal, and not when `NO_COLOR` is set (<https://no-color.org>).
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colours: bool,
}

// === impl Progress ===

impl Progress {
    /// Begins now; `before` is what took its time before this program started.
    #[must_use]
    pub fn new(before: Vec<Took>) -> Self {
        Self {
            begin: Instant::now(),
            before,
            parts: RefCell::default(),
        }
    }

    /// Tells what begins now; what was told before it has ended.
    pub fn step(&self, what: &str) {
        println!("{:>7}  {what}", seconds(self.begin.elapsed()));
        // A pipe is buffered, and nobody should wait in front of an empty screen.
        let _ = std::io::stdout().flush();
        self.parts.borrow_mut().push((what.to_owned(), Instant::now()));
    }

    /// How long each part took until now, and all of them.
    #[must_use]
    pub fn times(&self) -> String {
        let parts = self.parts.borrow();
        let ends = parts.iter().skip(1).map(|(_, begin)| *begin).chain([Instant::now()]);
        let own = parts.iter().zip(ends).map(|((what, begin), end)| Took {
            what: what.clone(),
            time: end - *begin,
        });
        let mut times: Vec<Took> = self.before.iter().cloned().chain(own).collect();
        let all = times.iter().map(|took| took.time).sum();
        times.push(Took {
            what: "in all".to_owned(),
            time: all,
        });
        times.iter().fold(String::new(), |text, took| {
            text + &format!("{:>9}  {}\n", seconds(took.time), took.what)
        })
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

// === impl Took ===

impl FromStr for Took {
    type Err = Error;

    /// Reads `what=seconds`.
    fn from_str(text: &str) -> Result<Self> {
        let (what, seconds) = text
            .rsplit_once('=')
            .context("write what took how long: NAME=SECONDS")?;
        let seconds = seconds
            .parse()
            .with_context(|| format!("{seconds:?} is not a whole number of seconds"))?;
        Ok(Self {
            what: what.to_owned(),
            time: Duration::from_secs(seconds),
        })
    }
}

// === impl Style ===

impl Style {
    /// As it suits standard output.
    #[must_use]
    pub fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colours: std::io::stdout().is_terminal() && !unwanted,
        }
    }

    /// A heading.
    #[must_use]
    pub fn heading(self, text: &str) -> String {
        self.marked("1", text)
    }

    /// Something aside, such as the command behind an output.
    #[must_use]
    pub fn aside(self, text: &str) -> String {
        self.marked("2", text)
    }

    fn marked(self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Rows with their columns one below the other, two spaces apart.
#[must_use]
pub fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_with_what_was_before() {
        let progress = Progress::new(vec!["real parts=12".parse().unwrap(), "a=b=3".parse().unwrap()]);
        progress.step("one");
        progress.step("two");
        assert_eq!(
            progress.times(),
            "   12.0 s  real parts\n    3.0 s  a=b\n    0.0 s  one\n    0.0 s  two\n   15.0 s  in all\n"
        );
    }

    #[test]
    fn what_took_how_long_is_explained_when_it_is_written_wrong() {
        for (wrong, says) in [
            ("parts", "NAME=SECONDS"),
            ("parts=long", "\"long\" is not a whole number"),
        ] {
            let error = wrong.parse::<Took>().unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn columns_stand_one_below_the_other() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned);
        assert_eq!(
            aligned(&[row(["oid", "1"]), row(["é", "22"]), row(["x", ""])]),
            "oid  1\né    22\nx\n"
        );
    }

    #[test]
    fn a_file_gets_no_colours() {
        assert_eq!(Style { colours: false }.heading("x"), "x");
        assert_eq!(Style { colours: true }.heading("x"), "\x1b[1mx\x1b[0m");
    }
}
