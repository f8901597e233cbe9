//! A piece of work in a copy of this process: it begins with what was made here before, and leaves nothing behind.
//!
//! A play has a process of its own, because libraries count what was made before (docs/adr/0022). To start the program anew for each play would
//! take as long as half a minute of what is played, most of it for loading it and for what each process makes once.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a copy answers, and its process.
pub(crate) struct Apart {
    process: i32,
    answer: PipeReader,
}

#[allow(unsafe_code, reason = "the standard library cannot copy a process; docs/adr/0022")]
// SAFETY: they are declared as the C library has them. What a copy of a process with one thread does is what the process would do.
unsafe extern "C" {
    safe fn fork() -> i32;
    safe fn waitpid(process: i32, status: Option<&mut i32>, options: i32) -> i32;
    safe fn _exit(status: i32) -> !;
}

/// Errors are made without looking up where: nobody reads that, and it is a tenth of a play. This process must have one thread.
#[allow(
    unsafe_code,
    reason = "the standard library has no other way to say so; docs/adr/0022"
)]
pub(crate) fn without_backtraces() {
    // SAFETY: no other thread reads the environment.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
}

// === impl Apart ===

impl Apart {
    /// Begins the work, which writes its answer. This process must have one thread, or a lock that another one holds would never be free.
    pub(crate) fn begin(work: impl FnOnce(PipeWriter) -> io::Result<()>) -> io::Result<Self> {
        let (answer, writer) = io::pipe()?;
        match fork() {
            0 => {
                drop(answer);
                let worked = catch_unwind(AssertUnwindSafe(|| work(writer)));
                _exit(i32::from(!matches!(worked, Ok(Ok(())))));
            }
            process if process > 0 => Ok(Self { process, answer }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// What it answers, as it does.
    pub(crate) const fn answer(&self) -> &PipeReader {
        &self.answer
    }

    /// Waits for its end, and gives what it answered.
    pub(crate) fn end(mut self) -> io::Result<String> {
        let mut answer = String::new();
        let read = self.answer.read_to_string(&mut answer);
        let mut status = 0;
        while waitpid(self.process, Some(&mut status), 0) != self.process {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        if status == 0 {
            read.map(|_| answer)
        } else {
            Err(io::Error::other(format!("its process ended with status {status}")))
        }
    }
}
