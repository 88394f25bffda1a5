"""Checks that a build of the programs compiles the dependencies as a build with the tests does.

A crate with another feature is compiled again, and so is each crate above it: `make test` after
`make run` would take many minutes more. `make structure` runs this. The list of a build's units is
not a stable feature of Cargo, but the pinned toolchain has it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# PROGRAMS and FEATURES of the Makefile.
PROGRAMS = ["build", "--workspace", "--bins"]
TESTS = ["test", "--workspace", "--features", "ndarray,functions/ndarray,model-builder/ndarray"]
# The thin crates over Burn's backends: the tests have one backend more.
BURN = {"burn", "burn-core", "burn-dispatch", "burn-tensor"}


def units(build):
    """{(crate, what of it): its features} for every dependency that the build compiles."""
    listed = subprocess.run(
        ["cargo", *build, "--locked", "--unit-graph", "-Z", "unstable-options"], cwd=ROOT,
        env={**os.environ, "RUSTC_BOOTSTRAP": "1"}, check=True, capture_output=True, text=True)
    found = {}
    for unit in json.loads(listed.stdout)["units"]:
        source, _, name = unit["pkg_id"].partition("#")
        if source.startswith("registry+"):
            # A crate may be built twice on purpose: for the host's macros and for the program.
            key = (name, unit["target"]["kind"][0], unit["mode"], unit["profile"]["opt_level"])
            found.setdefault(key, set()).add(frozenset(unit["features"]))
    return found


def main():
    programs, tests = units(PROGRAMS), units(TESTS)
    problems = []
    for (name, kind, *rest), features in sorted(programs.items()):
        others = tests.get((name, kind, *rest), set())
        if features <= others or name.partition("@")[0] in BURN:
            continue
        lacks = set().union(*others) - set().union(*features)
        problems.append(f"{name} ({kind}) lacks {', '.join(sorted(lacks)) or 'nothing'} that the "
                        "tests ask for: ask for it in tests/scripted-aws/Cargo.toml")
    for problem in problems:
        print(problem)
    if not problems:
        print(f"The programs' {len(programs)} units of dependencies are those of the tests.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
