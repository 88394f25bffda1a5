"""Where things are, and the Python environments of the local AWS, its command line and the
comparison with other engines.

It uses only the standard library, because it runs before anything else is installed. On the command
line it prints the folder of an environment's programs, after setting it up if need be:

    $ python3 tests/local_aws/environment.py tools
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# The folder for all files that are made here. CI puts it outside the checkout.
LOCAL = Path(os.environ.get("DEEPGUARD_LOCAL") or ROOT / ".local").resolve()
TARGET = Path(ROOT, os.environ.get("CARGO_TARGET_DIR") or "target")

OLDEST_PYTHON = (3, 10)  # MiniStack and the SAM CLI need it

PEERS = ROOT / "tests" / "peers"
# The pinned versions of each environment, and the command to run in it afterwards. `make
# requirements` makes each requirements-*.txt from the requirements-*.in beside it.
ENVIRONMENTS = {
    "aws": (HERE / "requirements-aws.txt", None),
    "cli": (HERE / "requirements-cli.txt", None),
    "tools": (HERE / "requirements-tools.txt", None),
    "lints": (HERE / "requirements-lints.txt", None),
    "lock": (HERE / "requirements-lock.txt", None),
    "peers": (PEERS / "requirements-peers.txt", PEERS / "without_cuda.py"),
}


class SetupError(Exception):
    """Only the reader can supply something that is missing; the message says what."""


def programs(name):
    """The `bin` folder of the environment `name`, set up with pinned versions if it is not
    there."""
    requirements, afterwards = ENVIRONMENTS[name]
    version = ".".join(map(str, sys.version_info[:2]))
    # New requirements get a new folder: an environment in use by another run is never changed.
    described = requirements.read_bytes() + version.encode() + (
        afterwards.read_bytes() if afterwards else b"")
    key = hashlib.sha256(described).hexdigest()[:12]
    folder = LOCAL / f"python-{name}-{key}"
    if not (folder / "complete").exists():
        if sys.version_info < OLDEST_PYTHON:
            needed = ".".join(map(str, OLDEST_PYTHON))
            raise SetupError(f"Python {needed} or newer is needed, this is {version}. Try: "
                             "make PYTHON=python3.12 ...")
        LOCAL.mkdir(parents=True, exist_ok=True)
        with open(LOCAL / f"python-{name}.lock", "w") as lock:
            # a second one that starts now waits here, then finds it complete
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "complete").exists():
                install(folder, requirements, afterwards)
    return folder / "bin"


def install(folder, requirements, afterwards):
    print(f"Setting up {requirements.name} in {folder} (once) ...", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)  # the rest of an interrupted set-up
    run([sys.executable, "-m", "venv", str(folder)],
        "Python cannot make a virtual environment. On Debian and Ubuntu: apt-get install "
        "python3-venv")
    python = str(folder / "bin" / "python")
    # Refuses a file that differs from its pin. `--no-deps`: every needed package is pinned, and pip
    # would not take a pinned `boto3` for a `boto3[crt]`.
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--require-hashes", "--no-deps", "--requirement", str(requirements)],
        "pip could not install the pinned versions; its message is above. Check the network and "
        "run the command again.")
    if afterwards:
        run([python, str(afterwards)],
            f"{afterwards.name} failed; its message is above. It needs a C compiler, `cc`.")
    (folder / "complete").touch()


def run(command, advice):
    # To stderr: stdout holds a path for the caller.
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise SetupError(advice)


def continue_in(name):
    """Runs this same command again with the Python of the environment `name`, unless that is the
    one running already. Ends with a message if the environment cannot be set up."""
    try:
        python = programs(name) / "python"
    except SetupError as error:
        sys.exit(f"error: {error}")
    if Path(sys.prefix) != python.parent.parent:
        os.execv(python, [str(python), *sys.argv])


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ENVIRONMENTS:
        sys.exit(f"usage: environment.py {'|'.join(ENVIRONMENTS)}")
    try:
        print(programs(sys.argv[1]))
    except SetupError as error:
        sys.exit(f"error: {error}")
