"""Runs the end-to-end tests on each version of Kubernetes, and writes what was seen into docs/compatibility.md.

Each version is a module of its own beside this file, `kubernetes-MINOR`, and is built once by e2e/setup; the newest is the one of
`make test`. Everything else is the same for all: etcd, the pod webhook, kubectl, Helm, Flux.

Called by hack/compat, which builds what is tested. Only the standard library is used here.
"""

import datetime
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass

import setup

PAGE = setup.REPOSITORY / "docs" / "compatibility.md"
BEGIN = "<!-- versions, by `make compat` -->"
END = "<!-- end of versions -->"
HEAD = "| Kubernetes | passed | failed | left out | on |\n|---|---|---|---|---|\n"
#: Tests that a version cannot pass for a reason that is not ours, by minor version: the beginning of the name, and the reason.
LEFT_OUT: dict[str, dict[str, str]] = {}
#: How `cargo test` ends.
RESULT = re.compile(r"^test result: \S+ (\d+) passed; (\d+) failed; \d+ ignored; \d+ measured; (\d+) filtered out", re.MULTILINE)
FAILED = re.compile(r"^---- (\S+) ----$", re.MULTILINE)


class Problem(Exception):
    """A version could not be tested; the text says why, for a person."""


@dataclass(frozen=True)
class Version:
    """A version of Kubernetes that can be tested."""

    minor: str
    whole: str
    #: Where its programs lie.
    folder: pathlib.Path
    #: What e2e/setup calls it.
    part: str


def versions() -> list[Version]:
    """All of them, the oldest first."""
    others = [
        Version(minor, whole, setup.COMPAT / minor, f"kubernetes-{minor}") for minor, whole in setup.other_kubernetes().items()
    ]
    newest = setup.KUBERNETES_VERSION
    return [*others, Version(newest.rpartition(".")[0], newest, setup.BIN, "kubernetes")]


def make(version: Version) -> None:
    """Builds its programs, and asks the API server who it is: the tests take the newest where one is missing."""
    if subprocess.run([str(setup.REPOSITORY / "e2e" / "setup"), version.part], check=False).returncode != 0:
        raise Problem(f"its Go modules k8s.io/kubernetes v{version.whole} could not be fetched or built, as told above")
    said = subprocess.run([str(version.folder / "kube-apiserver"), "--version"], capture_output=True, text=True, check=True).stdout
    if said.strip() != f"Kubernetes v{version.whole}":
        raise Problem(f"its API server says that it is {said.strip()}")


def run(version: Version) -> str:
    """Runs the tests, and returns its row of the table."""
    make(version)
    skipped = [word for test in LEFT_OUT.get(version.minor, {}) for word in ("--skip", test)]
    command = ["cargo", "test", "--quiet", "--package", "wio-e2e", "--test", "e2e", "--", *skipped]
    log = setup.LOGS / f"compat-{version.minor}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "WIO_E2E_ASSETS": str(version.folder)}
    with subprocess.Popen(
        command, cwd=setup.REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as tests, log.open("w") as sink:
        for line in tests.stdout or ():
            sink.write(line)
            print(line, end="", flush=True)
    return row(version, log.read_text())


def row(version: Version, said: str) -> str:
    """What the tests said, as a row of the table."""
    ended = RESULT.search(said)
    if ended is None:
        raise Problem("the tests did not come to their end, as told above")
    passed, failed, left_out = ended.groups()
    # What is left out has its reason below the table, whichever run it is.
    if failed != "0":
        failed += ": " + ", ".join(f"`{name}`" for name in dict.fromkeys(FAILED.findall(said)))
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"| {version.whole} | {passed} | {failed} | {left_out} | {today} |"


# === The page ===


def minor_of(row_of_table: str) -> str:
    return row_of_table.split("|")[1].strip().rpartition(".")[0]


def rows_of(page: str) -> tuple[str, dict[str, str], str]:
    """What stands before the table, its rows by minor version, and what stands behind it."""
    before, found, rest = page.partition(BEGIN)
    table, ended, after = rest.partition(END)
    if not found or not ended:
        raise Problem(f"{PAGE.name} has no place for the table: {BEGIN} and {END}")
    rows = [line for line in table.splitlines() if line.startswith("| ") and line[2].isdigit()]
    return before, {minor_of(line): line for line in rows}, after


def written(page: str, fresh: dict[str, str]) -> str:
    """The page with the rows that are new. A version that is tested no longer goes."""
    before, rows, after = rows_of(page)
    rows |= fresh
    known = [version.minor for version in versions()]
    table = "".join(rows.get(version.minor, f"| {version.whole} | not run yet | | | |") + "\n" for version in versions())
    reasons = "".join(
        f"\nLeft out on {minor}: `{test}`, because {reason}.\n" for minor in known for test, reason in LEFT_OUT.get(minor, {}).items()
    )
    return f"{before}{BEGIN}\n{HEAD}{table}{reasons}{END}{after}"


def main() -> int:
    wanted = os.environ.get("VERSION", "")
    known = versions()
    chosen = [version for version in known if wanted in ("", version.minor)]
    if not chosen:
        print(f"compat: there is no Kubernetes {wanted} among what is pinned: {', '.join(version.minor for version in known)}", file=sys.stderr)
        return 2
    problems = []
    for version in chosen:
        print(f"\n=== Kubernetes {version.whole}", flush=True)
        try:
            fresh = run(version)
            # At once: what was seen stays, also when the next one is interrupted.
            PAGE.write_text(written(PAGE.read_text(), {version.minor: fresh}))
            print(fresh)
            if fresh.split("|")[3].strip() != "0":
                problems.append(f"{version.whole}: tests failed")
        except Problem as problem:
            problems.append(f"{version.whole}: {problem}; {PAGE.name} keeps what was seen before")
    for problem in problems:
        print(f"compat: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
