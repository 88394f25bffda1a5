"""Runs every end-to-end program on a local AWS of its own, two at a time: `make test` ends with it.

Most of them wait most of the time, for a schedule or for MiniStack. A program that fails has its
whole output printed; of the others a line each.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from environment import HERE, ROOT

AT_ONCE = 2
# The longest come first, so that no long one is left alone at the end.
LONGEST = ["test_train.py", "test_journey.py", "test_shards.py", "bad_night.py", "test_models.py"]


def programs():
    every = {path.name for path in HERE.glob("test_*.py")} | {"bad_night.py"}
    return LONGEST + sorted(every - set(LONGEST))


def run(name):
    """(the name, the exit code, the output, seconds)"""
    started = time.monotonic()
    done = subprocess.run([sys.executable, str(HERE / name)], cwd=ROOT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace")
    return name, done.returncode, done.stdout, time.monotonic() - started


def main():
    failed = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for future in as_completed([pool.submit(run, name) for name in programs()]):
            name, code, output, seconds = future.result()
            if code:
                failed.append(name)
                print(f"{output}\n{name} FAILED with {code} after {seconds:.0f} s", flush=True)
            else:
                print(f"{name}: {seconds:.0f} s", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "all end-to-end programs passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
