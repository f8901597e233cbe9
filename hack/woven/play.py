"""Turns on one change of the core after the other and tells which the core's tests do not notice.

Usage: play.py TREE LIST RESULTS: a copy of the repository, cargo-mutants' list of changes as JSON, and where results are kept.
"""

import json
import math
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict

import weave

# They compare the core with admission, or try texts and names by the thousand, and take most of the time.
SLOW = ("admission::", "admission_refusals::", "admission_and_the_core", "names::a_text_of_a_megabyte", "names::no_two_bindings")
SKIPPED = [word for name in SLOW for word in ("--skip", name)]
# Processor seconds: an idle machine and a busy one judge alike.
AT_MOST = 40
# Whatever is noticed is mostly noticed by few cases.
CASES = (2, 12)


def limit():
    resource.setrlimit(resource.RLIMIT_CPU, (AT_MOST, AT_MOST + 1))


class Player:
    def __init__(self, tree, changes):
        self.folder = tree / "crates/core"
        self.weaver = weave.Weaver(tree, changes)
        self.weaver.compile()
        self.programs = weave.programs(tree)
        self.noticed_by = defaultdict(list)

    def run(self, number, cases, arguments):
        """How the tests end with a change, and at which of them."""
        environment = dict(os.environ, MUTANT=str(number), PROPTEST_CASES=str(cases), PROPTEST_MAX_SHRINK_ITERS="0", RUST_BACKTRACE="0")
        for program in self.programs:
            done = subprocess.run(
                [program, "--test-threads", "1", *arguments],
                cwd=self.folder, env=environment, preexec_fn=limit, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace",
            )
            if -done.returncode in (signal.SIGXCPU, signal.SIGKILL):
                return "timeout", None
            if done.returncode != 0:
                return "caught", done.stdout.split("test ")[-1].split(" ")[0]
        return "missed", None

    def play(self, number):
        file = self.weaver.changes[number]["file"] if number else ""
        # What noticed another change of the file comes first.
        tries = [(CASES[0], ["--exact", *self.noticed_by[file][-14:]])] if self.noticed_by[file] else []
        for cases, arguments in [*tries, *((cases, SKIPPED) for cases in CASES)]:
            result, test = self.run(number, cases, arguments)
            if result != "missed":
                break
        if test and test not in self.noticed_by[file]:
            self.noticed_by[file].append(test)
        return result, test


def wilson(missed, played):
    """Between what the share of all lies that are missed, at 95 %; of a sample without a miss too this is no zero."""
    z = 1.96
    share, whole = missed / played, 1 + z * z / played
    middle = (share + z * z / (2 * played)) / whole
    half = z * math.sqrt(share * (1 - share) / played + z * z / (4 * played * played)) / whole
    return max(middle - half, 0), middle + half


def summary(changes, results):
    """A table by folder, and what was missed."""
    rows = defaultdict(Counter)
    for change in changes:
        row = change["file"].removeprefix("crates/core/src/").split("/")
        row = row[0] if len(row) > 1 else "the files beside them"
        rows[row][results.get(change["name"], {"result": "not played"})["result"]] += 1
        rows[row]["changes"] += 1
    columns = ("changes", "caught", "timeout", "missed", "does not compile", "not woven", "not played")
    print("|", " | ".join(("folder", *columns)), "|\n" + "|---" * (len(columns) + 1) + "|")
    for row, counts in sorted(rows.items()):
        print("|", " | ".join((row, *(str(counts[column]) for column in columns))), "|")
    total = sum(rows.values(), Counter())
    print("|", " | ".join(("all", *(str(total[column]) for column in columns))), "|\n")
    for name, found in sorted(results.items()):
        if found["result"] in ("missed", "timeout"):
            print(f"{found['result']}: {name}")
    played = total["caught"] + total["timeout"] + total["missed"]
    if played:
        share = f"{total['missed'] / played:.1%}"
        # Where all were played, nothing is estimated.
        if total["not played"]:
            share += ", and of all between {:.1%} and {:.1%}".format(*wilson(total["missed"], played))
        print(f"\n{total['missed']} of {played} that were played were missed: {share}")


def main():
    tree, listed, kept = map(pathlib.Path, sys.argv[1:])
    changes = json.loads(listed.read_text())
    results = {}
    for line in kept.read_text().splitlines() if kept.exists() else []:
        found = json.loads(line)
        results[found["name"]] = found
    player = Player(tree, changes)
    if player.run(0, CASES[-1], SKIPPED)[0] != "missed":
        raise SystemExit("the tests fail without any change")
    for number, why in player.weaver.left_out.items():
        results[changes[number - 1]["name"]] = {"result": why.split(":")[0]}
    waiting = [number for number, change in player.weaver.changes.items() if change["name"] not in results]
    print(f"{len(changes)} changes, of which {len(player.weaver.left_out)} are left out; {len(waiting)} are to be played", file=sys.stderr)
    # In no order, so that whatever was played when it ends is a sample.
    random.Random(1).shuffle(waiting)
    end = time.monotonic() + 60 * float(os.environ.get("MINUTES") or "inf")
    with kept.open("a") as out:
        for number in waiting:
            if time.monotonic() > end:
                break
            result, test = player.play(number)
            found = {"name": changes[number - 1]["name"], "result": result, "test": test}
            results[found["name"]] = found
            print(json.dumps(found), file=out, flush=True)
    summary(changes, results)


main()
