"""The page as a list of steps, and how its output is compared with what was really printed."""

import dataclasses
import re

# Stands before a block that needs what is not here: a container registry, or the engine of Azure's templates.
NOT_RUN = "<!-- not run -->"
# What an issuer of AKS looks like. The page shows it in the place of the one of the test's own API server.
ISSUER = "https://westeurope.oic.prod-aks.azure.com/0d8b1f6e-3c55-4b0e-9d3f-6a7f1f5c2b90/5e1b7c1a-9d0f-4c3e-8a57-2f6d0b9e4c18/"

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?")
AGE = re.compile(r"\b(?:\d+[dhms])+(?: \(x\d+ over (?:\d+[dhms])+\))?(?=\s|$)", re.MULTILINE)
# What differs from run to run: the end of a derived name, and what the API server counts.
HASH = re.compile(r"\bwib-[a-z0-9-]*-[a-z0-9]{10,}\b")
COUNTED = re.compile(r"(Resource Version|UID|Generation):\s+\S+")


@dataclasses.dataclass
class Step:
    """A block of commands, and the block behind it with what they print, when there is one."""

    line: int
    script: str
    run: bool
    # The lines of the page, from the one behind its fence to the one before the closing fence.
    shown: tuple[int, int] | None = None

    def expected(self, lines):
        return "".join(lines[slice(*self.shown)]) if self.shown else None


def steps(lines):
    """The steps of a page, given as its lines with their ends."""
    found, number = [], 0
    while number < len(lines):
        fence = lines[number].strip()
        if fence not in ("```sh", "```text"):
            number += 1
            continue
        end = next(later for later in range(number + 1, len(lines)) if lines[later].strip() == "```")
        if fence == "```sh":
            run = lines[number - 1].strip() != NOT_RUN
            found.append(Step(number + 1, "".join(lines[number + 1 : end]), run))
        elif lines[number - 1].strip() == "```":
            found[-1].shown = (number + 1, end)
        number = end + 1
    return found


def masked(text):
    """The text without what differs from run to run."""
    for pattern, word in ((GUID, "GUID"), (TIME, "TIME"), (HASH, "wib-NAME"), (AGE, "AGE")):
        text = pattern.sub(word, text)
    text = COUNTED.sub(r"\1: N", text)
    # Columns are as wide as what stands in them.
    return [re.sub(r"[\s-]{2,}", " ", line).strip() for line in text.strip().splitlines()]


def replaced(lines, printed):
    """The page with what was printed in the place of what it showed. `printed` goes by the step's line."""
    result, begin = [], 0
    for step in steps(lines):
        if step.shown and step.line in printed:
            result += lines[begin : step.shown[0]] + [printed[step.line].rstrip() + "\n"]
            begin = step.shown[1]
    return result + lines[begin:]
