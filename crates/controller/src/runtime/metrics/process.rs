//! The process itself, under the names that every Prometheus client uses.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// The process, looked at when somebody asks. What the system does not tell is left out.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeMetric;

        let Some(seen) = Seen::now() else { return Ok(()) };
        let mut gauge = |name: &str, about: &str, unit: Option<&Unit>, value: f64| {
            let metric = encoder.encode_descriptor(name, about, unit, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        gauge(
            "process_resident_memory",
            "Memory that the process uses",
            Some(&Unit::Bytes),
            seen.resident_bytes,
        )?;
        gauge(
            "process_open_fds",
            "Open files and connections of the process",
            None,
            seen.open_files,
        )?;
        gauge(
            "process_start_time",
            "When the process was started",
            Some(&Unit::Seconds),
            seen.started,
        )?;
        let about = "CPU time that the process has used";
        let metric = encoder.encode_descriptor("process_cpu", about, Some(&Unit::Seconds), MetricType::Counter)?;
        ConstCounter::new(seen.cpu_seconds).encode(metric)
    }
}

/// What the system says of the process.
struct Seen {
    resident_bytes: f64,
    open_files: f64,
    cpu_seconds: f64,
    /// Since the epoch, in seconds.
    started: f64,
}

impl Seen {
    #[expect(clippy::cast_precision_loss, reason = "a scrape needs no more than 15 digits")]
    fn now() -> Option<Self> {
        let process = procfs::process::Process::myself().ok()?;
        let stat = process.stat().ok()?;
        let ticks = procfs::ticks_per_second() as f64;
        let booted = procfs::boot_time_secs().ok()? as f64;
        Some(Self {
            resident_bytes: stat.rss as f64 * procfs::page_size() as f64,
            open_files: process.fd_count().ok()? as f64,
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            started: booted + stat.starttime as f64 / ticks,
        })
    }
}
