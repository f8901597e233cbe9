"""Weaves changes of the core into one source, in which an environment variable turns one of them on.

A build then tries all of them: what is left for each is to run the tests. A change that does not compile is taken out again.
"""

import json
import os
import pathlib
import re
import subprocess
from collections import defaultdict

import tree_sitter_rust
from tree_sitter import Language, Parser

PARSER = Parser(Language(tree_sitter_rust.language()))
ON = b"crate::mutant::on()"
# A panic ends the tests at once: the first one that fails is enough. A change that is off must not look at more than a number.
SWITCH = """
#[allow(missing_docs)]
pub mod mutant {
    pub fn on() -> u32 {
        static ON: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        *ON.get_or_init(|| {
            std::panic::set_hook(Box::new(|_| std::process::exit(101)));
            std::env::var("MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0)
        })
    }
}
"""


def climb(node, kind):
    while node is not None and node.type not in kind:
        node = node.parent
    return node


class Source:
    """A file of the core, as it is."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.root = PARSER.parse(self.data).root_node
        self.lines = self.data.split(b"\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def offset(self, place):
        """Where a line and a column are, which count from one and in characters."""
        line = self.lines[place["line"] - 1].decode()
        return self.starts[place["line"] - 1] + len(line[: place["column"] - 1].encode())

    def inner(self, start, end, kind):
        return climb(self.root.descendant_for_byte_range(start, end), kind)

    def text(self, node):
        return self.data[node.start_byte : node.end_byte]

    def spot(self, change):
        """What kind of place a change is woven into, where, and the text there when it is on; a text alone says why it is not woven."""
        data, new = self.data, change["replacement"].encode()
        start, end = (self.offset(change["span"][which]) for which in ("start", "end"))
        match change["genre"]:
            case "FnValue" if "impl Iterator" in change["function"]["return_type"]:
                # Another iterator would be another type: it is this one without an item, and then one more where there is to be one.
                one = re.fullmatch(rb"::std::iter::once\((.*)\)", new)
                return "items", start, end, one[1] if one else b""
            case "FnValue" if "impl" in change["function"]["return_type"]:
                return "opaque return type"
            case "FnValue":
                return "body", start, start, new
            case "BinaryOperator":
                node = self.inner(start, end, ("binary_expression", "compound_assignment_expr"))
                leaf = self.root.descendant_for_byte_range(start, end)
                if node is None or leaf.parent != node:
                    return "chain of lets"
                return "value", node.start_byte, node.end_byte, data[node.start_byte : start] + new + data[end : node.end_byte]
            case "UnaryOperator":
                node = self.inner(start, end, ("unary_expression",))
                return "value", node.start_byte, node.end_byte, data[end : node.end_byte]
            case "MatchArmGuard" if b"let " in data[start:end]:
                return "guard that binds"
            case "MatchArmGuard":
                return "value", start, end, new
            case "MatchArm":
                pattern = self.inner(start, start + 1, ("match_arm",)).child_by_field_name("pattern")
                guard = pattern.child_by_field_name("condition")
                if guard is None:
                    return "arm", pattern.end_byte, pattern.end_byte, b""
                return "guarded", guard.start_byte, guard.end_byte, b""
            case "StructField":
                return self.left_to_base(self.inner(start, start + 1, ("field_initializer", "shorthand_field_initializer")))
        return change["genre"]

    def left_to_base(self, field):
        """A field of a struct that has the value that it has in the struct which gives those that are not named."""
        of = climb(field, ("struct_expression",))
        base = next(node for node in field.parent.children if node.type == "base_field_initializer").named_children[0]
        value = field.child_by_field_name("value")
        name = self.text(field.child_by_field_name("field") if value else field)
        # Whatever is made anew for it has to be known by its type; what stands already is not to be moved as a whole.
        made = base.type == "call_expression"
        left = b"let base: %s = %s; base.%s" if made else b"%.0s(%s).%s"
        left %= self.text(of.child_by_field_name("name")), self.text(base), name
        return ("value", value.start_byte, value.end_byte, left) if value else ("name", field.start_byte, field.end_byte, left)


class Weaver:
    """All files of the core, the changes of them, and those that are left out, with the reason."""

    def __init__(self, tree, changes):
        self.tree = tree
        self.changes = dict(enumerate(changes, 1))
        self.sources = {str(path.relative_to(tree)): Source(path) for path in sorted((tree / "crates/core/src").rglob("*.rs"))}
        self.left_out = {}
        self.constant = set()
        self.pieces = {}

    def weave(self):
        for path, source in self.sources.items():
            places = defaultdict(list)
            for number, change in self.changes.items():
                if change["file"] != path or number in self.left_out:
                    continue
                spot = source.spot(change)
                if isinstance(spot, str):
                    self.left_out[number] = f"not woven: {spot}"
                else:
                    places[spot[:3]].append((number, spot[3]))
            woven = self.written(source, places, path)
            if path == "crates/core/src/lib.rs":
                woven += SWITCH.encode()
            (self.tree / path).write_bytes(woven)

    def written(self, source, places, path):
        """The file with its changes; where each of them stands is kept, because the compiler's words say only where."""
        cuts = []
        for (kind, start, end), changes in places.items():
            numbers = [number for number, _ in changes]
            first = b"%d" % numbers[0]
            match kind:
                case "body":
                    arms = [(b"%d => return %s, " % change, [change[0]]) for change in changes]
                    cuts.append((start, (1, -len(source.data) - 1), [(b"match %s { " % ON, numbers), *arms, (b"_ => {} } ", [])]))
                case "value" | "name":
                    named = source.data[start:end] + b": " if kind == "name" else b""
                    arms = [(b"%d => { %s }, " % change, [change[0]]) for change in changes]
                    cuts.append((start, (1, -end), [(named + b"(match %s { " % ON, numbers), *arms, (b"_ => { ", [])]))
                    cuts.append((end, (0, -start), [(b" } })", [])]))
                case "items":
                    none = b" | ".join(b"%d" % number for number in numbers)
                    one = [(b"%d => Some(%s), " % change, [change[0]]) for change in changes if change[1]]
                    cuts.append((start, (1, -len(source.data)), [(b"let woven = { ", [])]))
                    head = b" }; Iterator::chain(Iterator::take(woven, match %s { %s => 0, _ => usize::MAX }), match %s { " % (ON, none, ON)
                    cuts.append((end, (0, -start + 0.5), [(head, numbers), *one, (b"_ => None })", [])]))
                case "arm":
                    cuts.append((start, (1, -len(source.data) - 1), [(b" if %s != %s" % (ON, first), numbers)]))
                case "guarded":
                    cuts.append((start, (1, -end - 1), [(b"%s != %s && (" % (ON, first), numbers)]))
                    cuts.append((end, (0, -start + 1), [(b")", [])]))
        # Of two that begin at one place the longer one goes first, of two that end there the shorter one.
        woven, last, self.pieces[path] = b"", 0, []
        for at, _, pieces in sorted(cuts, key=lambda cut: cut[:2]):
            woven += self.loosened(source.data[last:at])
            last = at
            for text, numbers in pieces:
                self.pieces[path].append((len(woven), len(woven) + len(text), numbers))
                woven += text
        return woven + self.loosened(source.data[last:])

    def loosened(self, text):
        """A function that only a constant needs to be const is not, so that it can ask what is on."""
        keep = lambda found: found[0] if found[1].decode() in self.constant else b"fn " + found[1]
        return re.sub(rb"\bconst fn (\w+)", keep, text)

    def blamed(self, message):
        """The changes at which an error points."""
        spans = sorted(message["spans"], key=lambda span: not span["is_primary"])
        for span in spans:
            for start, end, numbers in self.pieces.get(span["file_name"], []):
                if numbers and start <= span["byte_start"] < end:
                    return numbers
        if (message.get("code") or {}).get("code") == "E0004":
            return self.arms_of(spans[0])
        return []

    def arms_of(self, span):
        """The arms that were taken out of the match that begins in this line. Lines are where they were."""
        source = self.sources[span["file_name"]]
        end = source.starts[span["line_start"]] - 2
        node = source.inner(end, end + 1, ("match_expression",))
        lines = range(node.start_point[0] + 1, node.end_point[0] + 2)
        of_it = lambda change: change["file"] == span["file_name"] and change["span"]["start"]["line"] in lines
        return [number for number, change in self.changes.items() if change["genre"] == "MatchArm" and of_it(change)]

    def compile(self):
        """Weaves and leaves out until it compiles."""
        while True:
            self.weave()
            check = ["cargo", "check", "--locked", "--package", "wio-core", "--lib", "--features", "testing", "--message-format", "json"]
            done = subprocess.run(check, cwd=self.tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if done.returncode == 0:
                return
            before = len(self.left_out) + len(self.constant)
            for line in filter(lambda line: line.startswith("{"), done.stdout.splitlines()):
                message = json.loads(line).get("message")
                if isinstance(message, dict) and message["level"] == "error":
                    self.take_in(message)
            if len(self.left_out) + len(self.constant) == before:
                raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])

    def take_in(self, message):
        numbers = self.blamed(message)
        for number in numbers:
            # A constant cannot ask what is on.
            why = "not woven" if "non-const" in message["message"] else "does not compile"
            self.left_out.setdefault(number, f"{why}: {message['message']}")
        called = re.search(r"non-const \w+(?: \w+)? `([^`]+)`", message["message"])
        if called and not numbers:
            self.constant.add(re.split(r"[<(]", called[1])[0].split("::")[-1])


def programs(tree):
    """The core's tests, built: the unit tests and the others."""
    build = ["cargo", "test", "--locked", "--package", "wio-core", "--lib", "--tests", "--no-run", "--message-format", "json"]
    done = subprocess.run(build, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-3000:])
    built = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [pathlib.Path(one["executable"]) for one in built if one.get("executable")]
