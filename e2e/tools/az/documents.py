"""The Azure CLI commands of the documents, but those of docs/quickstart.md, which `make quickstart` runs as one."""

import dataclasses
import pathlib
import re


@dataclasses.dataclass(frozen=True)
class Block:
    """Lines of a document that are run together."""

    document: str
    line: int
    script: str

    def __str__(self):
        return f"{self.document}:{self.line}"

    def commands(self):
        """How many Azure CLI commands it has."""
        return len(COMMAND.findall(self.script))


# `az` where a command begins: at the start of a line, or behind what the shell separates commands with.
COMMAND = re.compile(r"(?:^|[;|&(]|\bdo\b|\buntil\b|\bwhile\b|\bif\b|!)\s*az\s+[a-z]", re.MULTILINE)
# Without an option it is only spoken of.
INLINE = re.compile(r"`(az [^`]* --[^`]+)`")
# Its commands rest on one another.
QUICKSTART = "docs/quickstart.md"


def blocks(root: pathlib.Path):
    """All blocks with a command, and all commands within sentences, in the order of the documents."""
    documents = [root / "README.md", *sorted((root / "docs").rglob("*.md")), *sorted((root / "config").rglob("*.md"))]
    for path in documents:
        if str(path.relative_to(root)) != QUICKSTART:
            yield from of_document(str(path.relative_to(root)), path.read_text(encoding="utf-8"))


def of_document(name: str, text: str):
    fence, begun, shell = None, 0, True
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            if fence is None:
                # What a program prints of itself is no script.
                fence, begun, shell = [], number + 1, line.strip() != "```text"
                continue
            script = "\n".join(fence) + "\n"
            if shell and COMMAND.search(script):
                yield Block(name, begun, script)
            fence = None
        elif fence is not None:
            fence.append(line)
        else:
            for command in INLINE.findall(line):
                yield Block(name, number, command + "\n")
