//! The log of the operator, as one test reads it.

use std::cell::RefCell;
use std::io::{self, Write};

thread_local! {
    /// What was logged by the test of this thread, when it asked for it. A subscriber of one thread alone would miss what another
    /// thread's test made the log's callsites forget.
    static LOGGED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Writes to the log of the thread's test.
struct ToTest;

impl Write for ToTest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|log| log.iter_mut().for_each(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log of one test.
pub struct Log;

impl Log {
    pub fn begin() -> Self {
        let subscriber = tracing_subscriber::fmt()
            .with_writer(|| ToTest)
            .with_ansi(false)
            .finish();
        // The first test that asks sets it for all of this process.
        drop(tracing::subscriber::set_global_default(subscriber));
        LOGGED.set(Some(Vec::new()));
        Self
    }

    /// The lines that say this.
    #[expect(clippy::unused_self, reason = "there is one when it was begun")]
    pub fn lines(&self, saying: &str) -> Vec<String> {
        let log = LOGGED.with_borrow(|log| String::from_utf8(log.clone().unwrap()).unwrap());
        let lines = log.lines().filter(|line| line.contains(saying));
        lines.map(str::to_owned).collect()
    }
}
