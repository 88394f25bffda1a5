"""A local AWS that belongs to one run: MiniStack on a free port of 127.0.0.1, and the Lambda
processes it starts."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

REGION = "us-east-1"


# MiniStack drops metrics after two weeks. CloudWatch keeps five-minute metrics for 63 days, and the
# detector reads 30.
START = """
from ministack.services import cloudwatch
assert cloudwatch.TWO_WEEKS_SECONDS == 14 * 86400
cloudwatch.TWO_WEEKS_SECONDS = 63 * 86400
from ministack.app import main
main()
"""


class Failure(Exception):
    """The journey did not hold; the message says where and what to look at."""


def wait_for(what, condition, seconds, every=0.25):
    """Polls `condition` until it gives something true, and returns that. Too late is a Failure that
    names `what`."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"Waited {seconds} s in vain for {what}.")
        time.sleep(every)


def clean_environment(scratch, endpoint):
    """The environment for everything that talks to the local AWS. Nothing of the reader's own AWS
    account is in it: no profile, no credentials, no configuration file, so that no mistake can
    reach a real account."""
    kept = {k: v for k, v in os.environ.items()
            if not k.startswith("AWS_") and not k.startswith("SAM_")}
    return {
        **kept,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "TMPDIR": str(scratch),
    }


class Processes:
    """Starts programs in process groups of their own and ends all of them, with whatever they
    started in turn."""

    def __init__(self):
        self.started = []

    def start(self, command, log, **options):
        with open(log, "ab") as output, uninterrupted():
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, start_new_session=True, **options)
            self.started.append(process)
        return process

    def end_all(self):
        groups = [process.pid for process in self.started]
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for group in groups:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, sign)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                for process in self.started:
                    process.poll()  # reaps it, so that its group can become empty
                groups = [group for group in groups if group_is_alive(group)]
                if not groups:
                    return
                time.sleep(0.05)


def group_is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says this of a group of zombies
        return False
    return True


class LocalAws:
    """MiniStack with its data under `scratch` and its log in `log`."""

    def __init__(self, processes, programs, scratch, log):
        self.processes = processes
        self.command = [str(programs / "python"), "-c", START]
        self.scratch = Path(scratch)
        self.log = Path(log)
        self.server = None
        self.endpoint = None
        self.environment = None

    def start(self):
        self.scratch.mkdir(parents=True, exist_ok=True)
        # Another process can take the free port before MiniStack does. MiniStack then ends, and the
        # next port is tried.
        for _ in range(5):
            if self.start_on(free_port()):
                return
        raise Failure(f"MiniStack does not start; see {self.log}")

    def start_on(self, port):
        self.endpoint = f"http://127.0.0.1:{port}"
        self.environment = clean_environment(self.scratch, self.endpoint)
        self.server = self.processes.start(self.command, self.log, cwd=self.scratch, env={
            **self.environment,
            "BIND_HOST": "127.0.0.1",  # its default is every interface
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "S3_DATA_DIR": str(self.scratch / "s3"),
            "STATE_DIR": str(self.scratch / "state"),
            # Listeners and helpers it would start besides: MQTT, SFTP, and a sweep through Docker's
            # containers.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": "unix:///nonexistent",
        })
        wait_for("MiniStack to answer", lambda: self.server.poll() is not None or self.answers(),
                 60, every=0.1)
        return self.server.poll() is None

    def answers(self):
        # No proxy, even if the reader's environment has one: this is 127.0.0.1.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.endpoint}/_ministack/health", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def client(self, service):
        if self.endpoint is None:  # without one, boto3 would go to AWS itself
            raise Failure("The local AWS is not up.")
        import boto3
        from botocore.config import Config
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=REGION,
            aws_access_key_id="test", aws_secret_access_key="test",
            config=Config(proxies={}, read_timeout=180,
                          retries={"mode": "standard", "max_attempts": 5},
                          s3={"addressing_style": "path"}))

    def lambda_processes(self):
        """The ids of the bootstrap processes that MiniStack runs now. Linux only: it looks into
        /proc."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(entry / "exe").startswith(f"{self.scratch.resolve()}{os.sep}"):
                    found.append(int(entry.name))
        return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def peak_memory_mb(pid):
    """The most memory the process has held at once (VmHWM), in MB, or None where there is no
    /proc."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None


class Interruption:
    """One for the whole program: signals arrive at the program, not at one of its parts."""
    held = False  # inside `uninterrupted`
    waiting = False  # arrived while held

    @classmethod
    def arrive(cls, _signal, _frame):
        if not cls.held:
            raise KeyboardInterrupt
        cls.waiting = True


@contextlib.contextmanager
def uninterrupted():
    """Lets an interruption wait for the end of the block. A program that has started and is not
    written down yet would be left running."""
    Interruption.held = True
    try:
        yield
    finally:
        Interruption.held = False
        if Interruption.waiting:
            Interruption.waiting = False
            raise KeyboardInterrupt


def interrupt_on_termination():
    """Makes Ctrl-C, an ordinary kill and a closed terminal all end the run through its clean-up.

    Ctrl-C too: a shell that starts a command in the background has it ignored, and Python would
    leave it so.
    """
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, Interruption.arrive)


def ignore_signals():
    """For the clean-up: a second Ctrl-C must not leave half of it undone."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)


