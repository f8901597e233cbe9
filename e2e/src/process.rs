//! A server as a child process: with its log in a file, and gone when the harness is gone.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::wait::until;

/// Runs a program in a process group of its own. Each line of its standard input names a signal for the program; when the
/// input ends, because the harness closed it or died, the whole group is killed. A shell does that without unsafe code, and
/// without the pitfall of the parent-death signal, which fires when the thread that started the child ends.
const SUPERVISOR: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
echo "$program" >"$0.pid"
{
    while read -r signal <&3; do kill -s "$signal" "$program"; done
    kill -s KILL 0
} &
watcher=$!
wait "$program"
code=$?
kill -s KILL "$watcher"
exit "$code"
"#;

/// How many lines of a log are shown when something fails.
const TAIL_LINES: usize = 40;

/// A program, its arguments and its environment: nothing of the harness's own environment but `PATH` reaches it, so that
/// neither proxies nor Azure credentials of the person who runs the tests do.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    data_limit: Option<u64>,
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ends a program at once, with no say of its own.
    Kill,
    /// Asks a program to end.
    Terminate,
    /// Holds a program up where it is, as a node does that has too much to do.
    Stop,
    /// Lets a program go on that was held up.
    Continue,
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    supervisor: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

// === impl Program ===

impl Program {
    /// The program at this path.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            data_limit: None,
        }
    }

    /// The same with another program.
    #[must_use]
    pub fn replaced(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = path.into();
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds `--name=value`.
    #[must_use]
    pub fn flag(self, name: &str, value: impl Into<OsString>) -> Self {
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value.into());
        self.arg(argument)
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&OsString> {
        let mut all = self.environment.iter();
        all.find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self
    }

    /// Limits the bytes of its heap and stacks. The kernel does that for a process without a cgroup, and so without rights.
    #[must_use]
    pub const fn data_limit(mut self, bytes: Option<u64>) -> Self {
        self.data_limit = bytes;
        self
    }

    /// Starts it; its output is added to `<logs>/<name>.log`.
    pub fn start(&self, name: &str, logs: &Path) -> Result<Process> {
        let log = logs.join(format!("{name}.log"));
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .context("opening a log")?;
        let mut supervisor = Command::new("/bin/sh")
            .args(["-c", SUPERVISOR, name])
            .args(
                self.data_limit
                    .iter()
                    .flat_map(|bytes| ["prlimit".to_owned(), format!("--data={bytes}")]),
            )
            .arg(&self.path)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(logs)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().context("opening a log")?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let lifeline = supervisor.stdin.take();
        Ok(Process {
            name: name.to_owned(),
            supervisor,
            lifeline,
            log,
        })
    }
}

// === impl Process ===

impl Process {
    /// How it ended, if it did. An end by a signal shows as 128 and the signal's number.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.supervisor
            .try_wait()
            .with_context(|| format!("looking after {}", self.name))
    }

    /// Fails, with the end of its log, when it does not run any more.
    pub fn must_run(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {}\n{}", self.name, code(status), self.log_tail()),
        }
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        let line: &[u8] = match signal {
            Signal::Kill => b"KILL\n",
            Signal::Terminate => b"TERM\n",
            Signal::Stop => b"STOP\n",
            Signal::Continue => b"CONT\n",
        };
        let lifeline = self
            .lifeline
            .as_mut()
            .with_context(|| format!("{} was stopped", self.name))?;
        lifeline
            .write_all(line)
            .with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// Sends a signal and waits until the program has ended. Returns its exit code.
    pub async fn stop(&mut self, signal: Signal, deadline: Duration) -> Result<i32> {
        self.must_run()?;
        self.signal(signal)?;
        self.until_ended(deadline).await
    }

    /// Waits until the program has ended. Returns its exit code.
    pub async fn until_ended(&mut self, deadline: Duration) -> Result<i32> {
        let what = format!("{} to end", self.name);
        let status = until(&what, deadline, async || self.ended()).await?;
        Ok(code(status))
    }

    /// Waits until `ready` gives a value; fails at once when the program ends before.
    pub async fn until_ready<T>(
        &mut self,
        deadline: Duration,
        mut ready: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let what = format!("{} to be ready", self.name);
        let found = until(&what, deadline, async || match self.ended()? {
            Some(status) => Ok(Some(Err(code(status)))),
            None => Ok(ready().await?.map(Ok)),
        })
        .await
        .with_context(|| self.log_tail())?;
        match found {
            Ok(value) => Ok(value),
            Err(code) => bail!(
                "{} ended with {code} before it was ready\n{}",
                self.name,
                self.log_tail()
            ),
        }
    }

    /// Waits until it answers at `url`, on loopback, that it is well; fails at once when the program ends before.
    pub async fn until_healthy(&mut self, url: &str, deadline: Duration) -> Result<()> {
        let web = reqwest::Client::builder()
            .no_proxy()
            .build()
            .context("making an HTTP client")?;
        self.until_ready(deadline, async || {
            let answer = web.get(url).send().await?;
            ensure!(answer.status().is_success(), "{}", answer.status());
            Ok(Some(()))
        })
        .await
    }

    /// The program's process id, while it runs.
    pub fn id(&self) -> Result<u32> {
        let file = self.log.with_extension("pid");
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        text.trim()
            .parse()
            .with_context(|| format!("{} holds no process id: {text:?}", file.display()))
    }

    /// The end of its log, with a heading.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("{error:#}"))
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The supervisor is killed with its group, so this does not wait long; after it the ports are free.
        let _ = self.supervisor.wait();
    }
}

/// The last lines of a log, with a heading that names it.
pub fn tail(log: &Path) -> Result<String> {
    let content = std::fs::read(log).with_context(|| format!("reading {}", log.display()))?;
    let text = String::from_utf8_lossy(&content);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(TAIL_LINES)..)
        .unwrap_or_default()
        .join("\n    ");
    let name = log.file_stem().unwrap_or_default().to_string_lossy();
    Ok(format!(
        "--- the end of {name}'s log ({} lines)\n    {last}",
        lines.len()
    ))
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

/// What a program wrote and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, or 128 and the signal that ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs a program to its end and returns its standard output; fails with both outputs when it fails.
pub async fn output(program: Program, input: Option<&[u8]>, deadline: Duration) -> Result<String> {
    let shown = shown(&program);
    let Ended { code, out, err } = run(program, input, deadline).await?;
    ensure!(code == 0, "{shown} ended with {code}\n{out}{err}");
    Ok(out)
}

/// Runs a program to its end, however that is.
pub async fn run(program: Program, input: Option<&[u8]>, deadline: Duration) -> Result<Ended> {
    use tokio::io::AsyncWriteExt;

    let shown = shown(&program);
    let mut child = tokio::process::Command::new(&program.path)
        .args(&program.arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(program.environment)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {shown}"))?;
    let stdin = child.stdin.take();
    let write = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A program may end without reading its input; what it says then is worth more than this error.
            let _ = stdin.write_all(input).await;
        }
    };
    let ((), finished) = tokio::time::timeout(deadline, async { tokio::join!(write, child.wait_with_output()) })
        .await
        .with_context(|| format!("{shown} did not end within {deadline:?}"))?;
    let finished = finished.with_context(|| format!("running {shown}"))?;
    Ok(Ended {
        code: code(finished.status),
        out: String::from_utf8_lossy(&finished.stdout).into_owned(),
        err: String::from_utf8_lossy(&finished.stderr).into_owned(),
    })
}

/// The command as a person would type it.
fn shown(program: &Program) -> String {
    let name = program.path.file_name().unwrap_or_default();
    let words = std::iter::once(name).chain(program.arguments.iter().map(OsString::as_os_str));
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new("/bin/sh").arg("-c").arg(script)
    }

    fn runs(pid: &str) -> bool {
        Path::new("/proc").join(pid).exists()
    }

    #[tokio::test]
    async fn a_program_and_what_it_started_are_gone_when_its_handle_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let process = shell("sleep 600 & echo $! $$; wait")
            .start("sleeper", folder.path())
            .unwrap();
        let pids = until("the program to start", Duration::from_secs(10), async || {
            let log = std::fs::read_to_string(process.log())?;
            Ok(log.ends_with('\n').then_some(log))
        })
        .await
        .unwrap();
        drop(process);
        until("all to be gone", Duration::from_secs(10), async || {
            Ok(pids.split_whitespace().all(|pid| !runs(pid)).then_some(()))
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn the_way_in_which_a_program_ended_is_told_with_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell("echo it broke; exit 7").start("failing", folder.path()).unwrap();
        let error = process
            .until_ready(Duration::from_secs(10), async || Ok(None::<()>))
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("failing ended with 7"), "{error:#}");
        assert!(format!("{error:#}").contains("it broke"), "{error:#}");
    }

    #[tokio::test]
    async fn a_program_may_end_by_itself_when_it_is_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done")
            .start("polite", folder.path())
            .unwrap();
        let log = process.log().to_path_buf();
        process
            .until_ready(Duration::from_secs(10), async || {
                Ok(std::fs::read_to_string(&log)?.contains("up").then_some(()))
            })
            .await
            .unwrap();
        assert_eq!(
            process.stop(Signal::Terminate, Duration::from_secs(10)).await.unwrap(),
            3
        );
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "up\nbye\n");
    }

    #[tokio::test]
    async fn a_killed_program_leaves_its_supervisor_to_tell_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell("exec sleep 600").start("victim", folder.path()).unwrap();
        let code = process.stop(Signal::Kill, Duration::from_secs(10)).await.unwrap();
        assert_eq!(code, 137);
    }
}
