"""Writes THIRD_PARTY.md: whose code is in the Lambda functions' bootstrap, under which licences.

    $ python3 tests/notices.py [--check]

The crates are those that `cargo tree` names for both instruction sets, without tests, build scripts
and procedural macros, which the bootstrap does not contain. Where a crate leaves the choice,
DeepGuard takes Apache-2.0, which has one text for all.
With --check it writes nothing, and ends with an error if the file is out of date.
"""

import difflib
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "THIRD_PARTY.md"
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
# The preferred licences where there is a choice: the first of these that is offered.
PREFERRED = ["Apache-2.0", "MIT", "BSD-3-Clause", "ISC", "Zlib"]
# Part of a file's name that tells which licence its text is.
OF = {"apache": "Apache-2.0", "mit": "MIT", "bsd": "BSD-3-Clause", "zlib": "Zlib", "isc": "ISC",
      "unicode": "Unicode-3.0", "boost": "BSL-1.0", "0bsd": "0BSD", "unlicense": "Unlicense"}
# The MIT licence from here on is the same for all. A few crates are shipped without their copy.
PERMISSION = "Permission is hereby granted, free of charge"

INTRODUCTION = """# Third-party notices

The bootstrap of the Lambda functions contains the code of {count} crates by others. It also
contains Rust's standard library, by the developers of Rust, under Apache-2.0 or MIT, and Windows'
names of time zones, from Unicode's CLDR, under Unicode-3.0.

Where a crate leaves a choice, its own words are in brackets, behind the licence that applies here.
The source of every crate is published, unchanged, under its name and version.

`make notices` writes this file. `make dependencies` checks it.
"""


def crates():
    """The packages in the bootstrap as `cargo metadata` describes them, by name and version."""
    described = json.loads(cargo("metadata", "--format-version", "1"))["packages"]
    described = {(package["name"], package["version"]): package for package in described}
    found = {crate for target in TARGETS for _, crate in tree(target)}
    packages = [described[crate] for crate in sorted(found)]
    # A package without a source belongs to this workspace.
    return [package for package in packages if package["source"]]


def tree(target):
    """(depth, (name, version)) of each line of the tree of crates in the bootstrap. The crates
    below one that comes twice are shown only the first time."""
    lines = cargo("tree", "--package", "functions", "--edges", "normal,no-proc-macro",
                  "--target", target, "--prefix", "depth", "--format", " {p}").splitlines()
    words = [line.split() for line in lines if line]
    return [(int(depth), (name, version.removeprefix("v"))) for depth, name, version, *_ in words]


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked"]
    answer = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    return answer.stdout


def chosen(expression):
    """The licences to be kept for an SPDX expression. A `/` is how OR was written once."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def either():
        options = [both()]
        while words and words[0] == "OR":
            words.pop(0)
            options.append(both())
        return min(options, key=lambda option: sum(rank(licence) for licence in option))

    def both():
        needed = one()
        while words and words[0] == "AND":
            words.pop(0)
            needed = needed | one()
        return needed

    def one():
        word = words.pop(0)
        if word == "(":
            inner = either()
            words.pop(0)
            return inner
        if words and words[0] == "WITH":
            word = " ".join([word, words.pop(0), words.pop(0)])
        return {word}

    return either()


def rank(licence):
    return PREFERRED.index(licence) if licence in PREFERRED else len(PREFERRED)


def files(package):
    """Name and text of the licences and notices that a crate is shipped with."""
    folder = Path(package["manifest_path"]).parent
    named = re.compile(r"(un)?licen[cs]e|copying|copyright|notice", re.IGNORECASE)
    found = {path for path in folder.iterdir() if path.is_file() and named.match(path.name)}
    if package["license_file"]:
        found.add(folder / package["license_file"])
    return [(path.name.lower(), tidy(path.read_text(encoding="utf-8", errors="replace")))
            for path in sorted(found) if path.suffix not in (".rs", ".html")]


def tidy(text):
    text = text.replace("\f", "").lstrip("\ufeff").expandtabs()
    lines = [line.rstrip() for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def hinted(name):
    """The licence that a file's name tells, or None."""
    words = re.split(r"[^a-z0-9]+", name)
    return next((licence for word, licence in OF.items() if word in words), None)


def texts(licence, shipped):
    """The texts that have to be kept for one licence of a crate."""
    named = [text for name, text in shipped if hinted(name) == licence]
    # A file that names no licence has the licence of the crate.
    return named or [text for name, text in shipped
                     if hinted(name) is None and not name.startswith(("notice", "copyright"))]


def document():
    packages = crates()
    # A text and the crates that are shipped with it. Line breaks do not matter.
    kept = defaultdict(lambda: {"licences": set(), "texts": set(), "crates": set()})
    apache, permissions, notices, bare, rows = Counter(), Counter(), [], [], []

    def keep(licence, text, package):
        entry = kept[" ".join(text.split())]
        entry["licences"].add(licence)
        entry["texts"].add(text)
        entry["crates"].add(title(package))

    for package in packages:
        licences, shipped = sorted(chosen(package["license"] or "")), files(package)
        rows.append(f"| {package['name']} | {package['version']} | {taken(licences, package)} |")
        notices += [(package, text) for file, text in shipped if file.startswith("notice")]
        for licence in licences:
            found = texts(licence, shipped)
            if licence == "Apache-2.0":
                # A longer file has other licences as well. Those are stored separately.
                apache.update(text for text in found
                              if "TERMS AND CONDITIONS FOR USE" in text and len(text) < 12_000)
                continue
            if not found:
                bare.append((package, licence))
            for text in found:
                keep(licence, text, package)
                if licence == "MIT" and PERMISSION in text:
                    permissions[text[text.index(PERMISSION):]] += 1
    for package, licence in bare:
        if licence != "MIT":
            sys.exit(f"{title(package)} is shipped without the text of {licence}: where is it?")
        authors = ", ".join(re.sub(r" *<.*?>", "", author) for author in package["authors"])
        holders = authors or f"the developers of {package['name']}"
        keep(licence, f"Copyright (c) {holders}\n\n{most_common(permissions)}", package)

    table = "| crate | version | licence |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    parts = [INTRODUCTION.format(count=len(packages)), table,
             "## Apache-2.0\n\nOf every crate whose licence begins so.\n",
             fenced(most_common(apache))]
    parts += [f"## Notice of {title(package)}\n\n{fenced(text)}" for package, text in notices]
    entries = [(" AND ".join(sorted(of["licences"])), sorted(of["crates"]), min(of["texts"]))
               for of in kept.values()]
    heading = None
    for licences, names, text in sorted(entries):
        if licences != heading:
            parts.append(f"## {licences}\n")
            heading = licences
        parts.append(f"Of {', '.join(names)}:\n\n{fenced(text)}")
    return "\n".join(parts)


def title(package):
    return f"{package['name']} {package['version']}"


def taken(licences, package):
    ours, theirs = " AND ".join(licences), re.sub(r" */ *", " OR ", package["license"])
    return ours if ours == theirs else f"{ours} ({theirs})"


def most_common(counter):
    return min(counter, key=lambda text: (-counter[text], text))


def fenced(text):
    return f"~~~text\n{text}\n~~~\n"


def main():
    written = document()
    if sys.argv[1:] != ["--check"]:
        DOCUMENT.write_text(written, encoding="utf-8")
        return 0
    there = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    if there == written:
        print(f"{DOCUMENT.name} names the crates of the bootstrap")
        return 0
    before, after = there.splitlines(), written.splitlines()
    changes = difflib.unified_diff(before, after, "is", "should be", lineterm="", n=0)
    print("\n".join(list(changes)[:20]))
    print(f"{DOCUMENT.name} is not what Cargo.lock asks for: run `make notices`")
    return 1


if __name__ == "__main__":
    sys.exit(main())
