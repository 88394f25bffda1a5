"""Counts the bootstrap's bytes: by section, and the machine code by crate, as Markdown.

    $ python3 tests/size.py UNSTRIPPED-BOOTSTRAP [--document docs/performance.md]

Generic code of the standard library counts for the crate whose types its name tells, and else for
std. With --document it puts the tables between <!-- size --> and <!-- /size -->.
"""

import argparse
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

STANDARD = {"core", "alloc", "std", "compiler_builtins", "hashbrown", "rustc_demangle", "gimli",
            "addr2line", "object"}
# Matches the beginning of a path, not its middle.
HEAD = re.compile(r"(?<![\w:>])([A-Za-z_]\w*)(?:\[[0-9a-f]+\])?::")
# Code without a path is C or assembler, nearly all of it the cryptography of TLS.
C = "aws-lc (C and assembler)"
# Sections by their contents. A section without a name here is "other".
SECTIONS = {
    "machine code": (".text", ".init", ".fini", ".plt"),
    "constants": (".rodata",),
    "tables for unwinding": (".eh_frame", ".eh_frame_hdr", ".gcc_except_table"),
    "addresses to relocate at start": (".rela.dyn", ".rela.plt", ".relr.dyn"),
    "data with addresses": (".data.rel.ro", ".data", ".got", ".got.plt"),
}
SHOWN = 15
BEGIN, END = "<!-- size -->", "<!-- /size -->"


def lines(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def crate(symbol):
    heads = HEAD.findall(symbol)
    made_for = next((head.replace("_", "-") for head in heads if head not in STANDARD),
                    "std, generic code included")
    return made_for if heads else C


def code_by_crate(binary):
    sizes, seen = Counter(), set()
    for line in lines("nm", "--print-size", "--demangle", "--defined-only", binary):
        parts = line.split(maxsplit=3)
        if len(parts) < 4 or parts[2] not in "tTwW" or parts[0] in seen:
            continue  # without a size, no code, or another name for the same code
        seen.add(parts[0])
        sizes[crate(parts[3])] += int(parts[1], 16)
    return sizes


def sections(binary):
    sizes = {}
    for line in lines("size", "--format=sysv", binary):
        parts = line.split()
        # a section that is loaded has an address
        if len(parts) == 3 and parts[0].startswith(".") and int(parts[2]):
            sizes[parts[0]] = int(parts[1])
    sizes.pop(".bss", None)
    sizes.pop(".tbss", None)
    grouped = {name: sum(sizes.pop(section, 0) for section in members)
               for name, members in SECTIONS.items()}
    return grouped | {"other": sum(sizes.values())}


def table(header, rows):
    text = f"| {header} | kB | % |\n| :-- | --: | --: |\n"
    total = sum(size for _, size in rows)
    return text + "".join(f"| {name} | {size / 1000:,.0f} | {100 * size / total:.1f} |\n"
                          for name, size in rows)


def report(binary):
    code = code_by_crate(binary)
    if not code:
        sys.exit(f"{binary} has no symbols: build it with CARGO_PROFILE_RELEASE_STRIP=false")
    most = code.most_common(SHOWN)
    rest = len(code) - len(most)
    most.append((f"{rest} others", sum(code.values()) - sum(size for _, size in most)))
    parts = sections(binary)
    whole = sum(parts.values())
    return (f"Made by `make size`. The loaded part of the bootstrap is {whole / 1e6:.1f} MB:\n\n"
            + table("section", sorted(parts.items(), key=lambda part: -part[1]))
            + "\nThe machine code by crate:\n\n" + table("crate", most))


def put_into(document, text):
    before = document.read_text() if document.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    head, begin, rest = before.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{document} has no {BEGIN} and {END}")
    document.write_text(f"{head}{BEGIN}\n{text.rstrip()}\n{END}{tail}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--document", type=Path)
    args = parser.parse_args()
    text = report(args.binary)
    print(text)
    if args.document:
        put_into(args.document, text)


if __name__ == "__main__":
    main()
