"""Checks that the documents name only commands, files and tests that exist, that README.md is short
and shows a message as it arrives, that no data of NAB are committed, and that lines fit a screen.

Every line of a ```sh block in DOCUMENTS has to be one of: a make target of the Makefile, a script
of this repository, a subcommand of model-builder, something under build/ that the Makefile puts
there, something under target/, or a program that the reader has anyway (OTHERS). So has each
command that stands in a line of text, `make ...` or `target/debug/model-builder ...`.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/reference.md",
             "docs/models.md", "docs/predictor.md", "docs/cost.md",
             "docs/first-deployment.md", "docs/operations.md"]
# Tests are the evidence of their tables.
WITH_TESTS = ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/comparison.md"]
OTHERS = {"aws", "cargo", "cd", "export", "git", "openssl", "pip", "rustup", "sam"}
# A person reads this aloud in five minutes.
README_LINES = 150
# Two files beside each other on a screen.
MOST_COLUMNS = 100
# A word that moves to a line of its own stands this much deeper.
INDENT = 4
# Files whose lines come from elsewhere.
NOT_BY_HAND = re.compile("|".join([
    r"Cargo\.lock", r".*/requirements-\w+\.txt", r"THIRD_PARTY\.md",  # written by tools
    r"docs/(model-card|load|fleets)\.md",  # written by `make evaluate`, `load` and `fleets`
    r"functions/tests/stored/.*", r"tests/fuzz/.*", r"models/.*",  # stored by programs
    r"model-builder/src/build/nab/files\.txt",  # checksums and addresses, one file a line
]))
# A row of a table is one line in Markdown, and so is a picture or a link.
ONE_LINE = re.compile(r"\s*(\||!?\[.*\]\(\S+\)\.?$)")
# Programs that measure write the text between these marks, such as `make bench-peers`.
BLOCK = re.compile(r"<!-- (?!/)[\w-]+(: begin)? -->")
BLOCK_END = re.compile(r"<!-- (/[\w-]+|[\w-]+: end) -->")
# The beginning of a NAB data file under any name.
NAB_HEADER = b"timestamp,value"


def commands(markdown):
    """(line number, words) of each command in the sh blocks; a backslash at the end of a line joins
    it with the next."""
    block, pending, found = False, "", []
    for number, line in enumerate(markdown.splitlines(), 1):
        if line.strip().startswith("```"):
            block = not block and line.strip() in ("```sh", "```bash", "```shell")
            continue
        if not block:
            continue
        line = pending + line.strip().removeprefix("$ ")
        pending = ""
        if line.endswith("\\"):
            pending = line[:-1] + " "
            continue
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", words[0]):
            words.pop(0)  # a variable for this one command
        for part in split(words, {"&&", "|", ";"}):
            found.append((number, part))
    return found


def commands_in_lines(markdown):
    """(line number, words) of each make target and each call of model-builder that stands between
    backticks in a line of text."""
    block, found = False, []
    for number, line in enumerate(markdown.splitlines(), 1):
        if line.strip().startswith("```"):
            block = not block
            continue
        for code in [] if block else re.findall(
                r"`((?:[A-Z_]+=\S+ )?(?:make|target/debug/model-builder) [^`]+)`", line):
            words = shlex.split(code)
            found.append((number, words[1:] if "=" in words[0] else words))
    return found


def split(words, separators):
    part = []
    for word in words:
        if word in separators:
            if part:
                yield part
            part = []
        else:
            part.append(word)
    if part:
        yield part


def make_targets():
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def model_builder_commands():
    """Subcommands of model-builder: the variants of the enum that derives clap's Subcommand, as
    clap spells them."""
    names = set()
    for source in (ROOT / "model-builder" / "src").rglob("*.rs"):
        for body in re.findall(r"derive\([^)]*Subcommand[^)]*\)\][^{]*?enum \w+ \{(.*?)\n\}",
                               source.read_text(), re.DOTALL):
            names |= {re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower()
                      for name in re.findall(r"^    ([A-Z]\w*)\s*[({,]", body, re.MULTILINE)}
    return names


def problem_with(words, targets, subcommands):
    """The fault of a command, or None."""
    program = words[0]
    if program == "make":
        named = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        unknown = [word for word in named if word not in targets]
        return f"no make target {', '.join(unknown)}" if unknown else None
    if "model-builder" in words or program.endswith("/model-builder"):
        at = words.index("--") + 1 if "--" in words else 1
        subcommand = words[at] if at < len(words) else None
        if subcommand is None or subcommand.startswith("-") or subcommand in subcommands:
            return None
        return (f"model-builder has no subcommand {subcommand}; it has "
                f"{', '.join(sorted(subcommands))}")
    if program == "cargo" and words[1:2] == ["lambda"]:
        files = [ROOT / word for word in words if word.startswith("events/")]
        return next((f"there is no {file.relative_to(ROOT)}"
                     for file in files if not file.exists()), None)
    script = next((word for word in words if word.endswith((".py", ".sh"))
                   or word.startswith((".ci/", "./"))), None)
    if script and program not in OTHERS:
        return None if (ROOT / script).exists() else f"there is no {script}"
    if program.startswith("build/"):
        made = program in (ROOT / "Makefile").read_text()
        return None if made else f"the Makefile makes no {program}"
    if program in OTHERS or program.startswith("target/"):
        return None
    return f"{program} is neither a script of the repository nor a program that the reader has"


def command_problems():
    targets, subcommands = make_targets(), model_builder_commands()
    problems = []
    for document in DOCUMENTS:
        if not (ROOT / document).exists():
            problems.append(f"{document} is missing")
            continue
        found = commands((ROOT / document).read_text())
        if not found:
            problems.append(f"{document} shows no command in a ```sh block")
        problems += [f"{document}:{number}: `{' '.join(words)}`: {problem}"
                     for number, words in found + commands_in_lines((ROOT / document).read_text())
                     if (problem := problem_with(words, targets, subcommands))]
    return problems


def anchors(markdown):
    """The anchors of this document's headings, as GitHub makes them."""
    prose = re.sub(r"^ *```.*?^ *```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def link_problems():
    """Links of the documents to files and headings that are not there."""
    problems = []
    for document in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = document.parent / path if path else document
            if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
                problems.append(f"{document.relative_to(ROOT)}: nothing is at {link}")
    return problems


def test_problems():
    """Tests that documents name as evidence, by the file that stands behind the name, and that are
    not there."""
    problems = []
    for document in WITH_TESTS:
        path_of, named = (ROOT / document).parent, 0
        for row in (ROOT / document).read_text().splitlines():
            for names, path in re.findall(
                    r"((?:`\w+`(?: and )?)+) in \[[^\]]+\]\(([^)]+\.(?:rs|py))\)", row):
                file = path_of / path
                source = file.read_text() if file.exists() else ""
                tests = re.findall(r"`(\w+)`", names)
                named += len(tests)
                problems += [f"{document}: {path} has no test {name}"
                             for name in tests if not re.search(rf"\b(?:fn|def) {name}\(", source)]
        problems += [] if named else [f"{document} names no test as evidence"]
    return problems


def readme_problems():
    """README.md is longer than it may be, or docs/bad-night.md does not have its message."""
    readme, night = (ROOT / "README.md").read_text(), (ROOT / "docs" / "bad-night.md").read_text()
    lines = readme.count("\n")
    problems = []
    if lines > README_LINES:
        problems.append(f"README.md has {lines} lines, and may have {README_LINES}")
    # Only the link is shortened.
    shown = re.search(r"^```text\n(Subject: .+?)^```$", readme, re.MULTILINE | re.DOTALL)
    message = shown[1].splitlines() if shown else []
    problems += [f"README.md: no message in docs/bad-night.md says: {line}"
                 for line in message if line.removesuffix("...") not in night]
    return problems if message else [*problems, "README.md shows no message as it arrives"]


def tracked():
    """The names of all files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return list(filter(None, listed.stdout.decode().split("\0")))


def lines_to_hold(name, text):
    """(line number, line) of each line that a person writes and may divide."""
    if not name.endswith(".md"):
        return list(enumerate(text.splitlines(), 1))
    block, made, held = None, False, []
    for number, line in enumerate(text.splitlines(), 1):
        made = (made or bool(BLOCK.match(line))) and not BLOCK_END.match(line)
        if line.strip().startswith("```"):
            block = None if block else line.strip()
        # Blocks other than commands quote the output of a program.
        elif not (made or block not in (None, "```sh") or ONE_LINE.match(line)):
            held.append((number, line))
    return held


def divisible(name, line):
    """Does each word of the line fit on a line of its own? An address, an ARN, a pattern or a
    checksum has no space to divide it at. A string of JSON counts as one word, and so does an
    argument in quotes of a command."""
    quoted = r'"(?:\\.|[^"\\])*"\S*|' if name.endswith(".json") else ""
    quoted += r"'[^']*'|" if name.endswith(".md") else ""
    words = re.findall(rf"{quoted}\S+", line)
    indent = len(line) - len(line.lstrip())
    return not any(indent + len(word) > MOST_COLUMNS - INDENT for word in words)


def long_lines():
    problems = []
    for name in tracked():
        if NOT_BY_HAND.fullmatch(name) or not (ROOT / name).is_file():
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        problems += [f"{name}:{number}: {len(line)} columns, and a line may have {MOST_COLUMNS}"
                     for number, line in lines_to_hold(name, text)
                     if len(line) > MOST_COLUMNS and divisible(name, line)]
    return problems


def data_problems():
    problems = []
    for name in tracked():
        path = ROOT / name
        if (path.suffix == ".csv" and path.is_file()
                and path.read_bytes().lstrip(b"\xef\xbb\xbf").startswith(NAB_HEADER)):
            problems.append(f"{name}: looks like data of NAB, which are not to be committed")
    return problems


def main():
    problems = (command_problems() + link_problems() + test_problems() + readme_problems()
                + data_problems() + long_lines())
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems
          else "the documents and the tracked files are fine")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
