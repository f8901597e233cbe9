//! Files at places that a program insists on, which nobody else on the machine sees.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::process::{Ended, Program, run};

/// Its arguments are the program, then pairs of a place below /var/run and a file, then nothing, and then the program's arguments.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs secrets /var/run
while [ -n "$1" ]; do
    mkdir -p "$(dirname "$1")"
    cp "$2" "$1"
    shift 2
done
shift
exec "$@"
"#;

/// A mount namespace, which root may make, and one within a user namespace, which everybody may make where the kernel allows it.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--map-root-user", "--mount"]];
const DEADLINE: Duration = Duration::from_secs(10);

/// A program that finds these files below /var/run, and nothing else there; arguments for it can be added.
pub(super) async fn with_files(files: &[(&str, PathBuf)], program: &Path) -> Result<Program> {
    let mut started = unshared()
        .await?
        .arg("/bin/sh")
        .arg("-c")
        .arg(SCRIPT)
        .arg("private-files");
    for (place, file) in files {
        started = started.arg(*place).arg(file);
    }
    Ok(started.arg("").arg(program))
}

/// util-linux's `unshare`, in the first way that works here.
async fn unshared() -> Result<Program> {
    let mut refused = Vec::new();
    for way in WAYS {
        let unshare = way
            .iter()
            .fold(Program::new("unshare"), |unshare, flag| unshare.arg(*flag));
        let tried = unshare
            .clone()
            .arg("mount")
            .arg("-t")
            .arg("tmpfs")
            .arg("tried")
            .arg("/var/run");
        match run(tried, None, DEADLINE).await {
            Ok(Ended { code: 0, .. }) => return Ok(unshare),
            Ok(Ended { err, .. }) => refused.push(err.trim().to_owned()),
            Err(error) => refused.push(format!("{error:#}")),
        }
    }
    bail!(
        "Azure Service Operator reads its token from a fixed place, which is laid in a mount namespace of its own. That needs root with \
         CAP_SYS_ADMIN, or user namespaces for everybody, and `unshare` and `mount` of util-linux: {}",
        refused.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_finds_its_files_at_their_places_and_nobody_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "secret").unwrap();
        let place = "/var/run/secrets/of-the-harness/token";
        // Where neither way is open there is nothing to be tried.
        let Ok(program) = with_files(&[(place, file)], Path::new("/bin/cat")).await else {
            return;
        };
        let ended = run(program.arg(place), None, DEADLINE).await.unwrap();
        assert_eq!((ended.code, ended.out.as_str()), (0, "secret"), "{}", ended.err);
        assert!(!Path::new(place).exists());
    }
}
