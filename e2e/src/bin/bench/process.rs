//! What Linux tells of a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// A running process, as /proc shows it.
#[derive(Clone, Debug)]
pub(crate) struct Running(PathBuf);

/// Linux counts a process's time in these, whatever the kernel's own tick is (`getconf CLK_TCK`).
const TICKS_PER_SECOND: u64 = 100;

// === impl Running ===

impl Running {
    pub(crate) fn new(id: u32) -> Self {
        Self(Path::new("/proc").join(id.to_string()))
    }

    /// Resident memory now and at its highest, in bytes.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = self.read("status")?;
        Ok((
            kibibytes(&status, "VmRSS:")? * 1024,
            kibibytes(&status, "VmHWM:")? * 1024,
        ))
    }

    /// How long it computed so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // The name stands in parentheses and may hold anything; the fields are counted from behind it.
        let (_, fields) = stat.rsplit_once(')').context("a line of /proc/*/stat")?;
        let mut times = fields.split_whitespace().skip(11);
        let mut next = || {
            times
                .next()
                .and_then(|it| it.parse::<u64>().ok())
                .context("a time in /proc/*/stat")
        };
        let ticks = next()? + next()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}

fn kibibytes(status: &str, field: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")).map(str::trim);
    number
        .and_then(|it| it.parse().ok())
        .with_context(|| format!("{field} is not in /proc/*/status"))
}

/// The machine in a few words.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.trim().strip_prefix(':'));
    format!("{cores} cores, {}, Linux", model.map_or("unknown processor", str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_is_measured() {
        let this = Running::new(std::process::id());
        let (now, highest) = this.memory().unwrap();
        assert!(now > 100_000 && highest >= now, "{now} {highest}");
        assert!(this.cpu().unwrap() < Duration::from_mins(10));
    }
}
