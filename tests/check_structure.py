"""Checks how the code is divided: which crate and which room may know which, and how long a file
may be.

A room is a module at the top of a crate. Of each crate it counts the rooms, the arrows between them
(who imports whom) and the floors (the longest way down), and fails where rooms import each other in
a circle. `make structure` prints the table.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATES = {
    "deepguard": "src",
    "deepguard-aws": "aws/src",
    "functions": "functions/src",
    "model-builder": "model-builder/src",
}
# Names that a crate must not use, and why.
FORBIDDEN = {
    "src": (r"\b(?:std::(?:time|env|fs|net|process)|async|tokio|futures_util|jiff|lambda_runtime"
            r"|aws_\w+|deepguard_aws)\b", "the domain knows no AWS, no async and no clock"),
    "aws/src": (r"\b(?:functions|model_builder|lambda_runtime)::",
                "the edges know neither functions nor command line"),
    "model-builder/src": (r"\bfunctions::", "the command line does not know the functions"),
    "functions/src": (r"\bmodel_builder::", "the functions do not know the command line"),
}
# The largest number of rooms of the function, and of floors that hold them.
MOST_ROOMS, MOST_FLOORS = 15, 6
# The largest number of lines of a source file. A longer file does more than one thing.
MOST_LINES = 450
# These hold only tests, and tests may look anywhere.
TESTS = ("testing", "tests")


def source(path):
    """The code of a file, without comments and without its tests."""
    text = re.sub(r"//[^\n]*", "", path.read_text())
    return re.split(r"\n#\[cfg\(test\)\]\nmod \w+ \{", text)[0]


def room(path, root):
    return path.relative_to(root).parts[0].removesuffix(".rs")


def files(root):
    return [path for path in sorted(root.rglob("*.rs"))
            if not any(part.removesuffix(".rs") in TESTS for part in path.relative_to(root).parts)]


def arrows(root):
    """Of each room, the rooms that it imports."""
    rooms = {room(path, root) for path in files(root)} - {"lib", "main", "bin"}
    known = {name: set() for name in rooms}
    for path in files(root):
        own = room(path, root)
        if own not in rooms:
            continue
        text = source(path)
        named = set(re.findall(r"\bcrate::(\w+)", text))
        for group in re.findall(r"\bcrate::\{(.*?)\};", text, re.DOTALL):
            named |= set(re.findall(r"(?:^|,)\s*(\w+)", group))
        known[own] |= (named & rooms) - {own}
    return known


def siblings(folder, root):
    """Of each module in a folder below the top, the modules beside it that it imports."""
    names = {path.stem if path.suffix == ".rs" else path.name
             for path in folder.iterdir()
             if path.suffix == ".rs" or path.is_dir()} - {"mod", *TESTS}
    known = {name: set() for name in names}
    prefix = "::".join(("crate", *folder.relative_to(root).parts))
    for path in files(folder):
        own = room(path, folder)
        if own not in names:
            continue
        text = source(path)
        depth = len(path.relative_to(folder).parts) - (path.name == "mod.rs")
        up = "super::" * depth
        named = set(re.findall(rf"(?:{prefix}::|(?<!super::){up})(\w+)", text))
        for group in re.findall(rf"(?:{prefix}::|(?<!super::){up})\{{(.*?)\}};", text, re.DOTALL):
            named |= set(re.findall(r"(?:^|,)\s*(\w+)", group))
        known[own] |= (named & names) - {own}
    return known


def circle(known):
    """Rooms that import each other in a circle, or nothing."""
    done, way = set(), []

    def visit(name):
        if name in way:
            return way[way.index(name):] + [name]
        if name in done:
            return None
        way.append(name)
        found = next(filter(None, map(visit, sorted(known[name]))), None)
        way.pop()
        done.add(name)
        return found

    return next(filter(None, map(visit, sorted(known))), None)


def floors(known):
    """The number of floors on which the rooms lie. Rooms without imports lie on the lowest."""
    height = {}

    def of(name):
        if name not in height:
            height[name] = 1 + max(map(of, known[name]), default=0)
        return height[name]

    return max(map(of, known), default=0)


def structure():
    """Problems, and a row of the table for each crate."""
    problems, rows = [], []
    for crate, folder in CRATES.items():
        root = ROOT / folder
        known = arrows(root)
        count = sum(map(len, known.values()))
        if found := circle(known):
            problems.append(f"{crate}: {' -> '.join(found)} is a circle")
            continue
        for inner in sorted(path for path in root.rglob("*")
                            if path.is_dir() and path.name not in TESTS):
            if found := circle(siblings(inner, root)):
                problems.append(f"{inner.relative_to(ROOT)}: {' -> '.join(found)} is a circle")
        height = floors(known)
        rows.append((crate, len(known), count, height, len(files(root))))
        if crate == "functions" and (len(known) > MOST_ROOMS or height > MOST_FLOORS):
            problems.append(f"{crate}: {len(known)} rooms on {height} floors; {MOST_ROOMS} on "
                            f"{MOST_FLOORS} are allowed")
        pattern, why = FORBIDDEN[folder]
        for path in files(root):
            if found := re.search(pattern, source(path)):
                problems.append(f"{path.relative_to(ROOT)} names {found.group(0)}: {why}")
    return problems, rows


def long_files():
    problems = []
    folders = ("src", "aws", "functions", "model-builder", "tests", "benches")
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*")
                       if path.suffix in (".rs", ".py")
                       and "target" not in path.relative_to(ROOT).parts):
        name, lines = str(path.relative_to(ROOT)), path.read_text().count("\n")
        if lines > MOST_LINES:
            problems.append(f"{name} has {lines} lines; {MOST_LINES} are allowed: divide it")
    return problems


def main():
    problems, rows = structure()
    print(f"{'crate':<15}{'rooms':>6}{'arrows':>8}{'floors':>8}{'files':>7}")
    for crate, rooms, count, height, number in rows:
        print(f"{crate:<15}{rooms:>6}{count:>8}{height:>8}{number:>7}")
    problems += long_files()
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
