"""The beginning of every end-to-end run: a folder for its files, a local AWS, a replayed fleet, and
the real template deployed with `sam deploy`. The journey and the test of the shards go on from
here."""

import json
import os
import shutil
import subprocess
import time
import unittest
from datetime import datetime, timezone

import environment
import fleet
import report
from environment import LOCAL, ROOT, TARGET
from local_aws import Failure, LocalAws, Processes, ignore_signals, wait_for

STACK = "deepguard"  # as samconfig.toml names it
NAMESPACE = "DeepGuard"  # the template's default
PACKAGE_BUCKET = "deepguard-packages"  # samconfig.toml, environment `local`
BOOTSTRAP = ROOT / "build" / "bootstrap" / "bootstrap"  # the template's CodeUri
KEPT_RUNS = 5
# MiniStack cannot make an alarm on a Metrics Insights query. samconfig.toml has the same setting.
LOCAL_PARAMETERS = ["ContributorAlarm=off"]


class Stage:
    def __init__(self):
        self.began = time.monotonic()
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        self.folder = LOCAL / "runs" / f"{stamp}-{os.getpid()}"
        self.folder.mkdir(parents=True)
        self.processes = Processes()
        self.aws = LocalAws(self.processes, environment.programs("aws"), self.folder / "scratch",
                            self.folder / "ministack.log")

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def prepare(self, replay):
        """The local AWS up, and the replayed fleet on disk. `replay` is the options for
        `model-builder replay`."""
        if not BOOTSTRAP.exists():
            raise Failure(f"{BOOTSTRAP} is not there; run `make build`.")
        self.command([self.model_builder(), "replay", "--out", str(self.folder / "replay"),
                      "--now", fleet.settled(), *replay],
                     "replay", os.environ, "make build-host")
        self.source, self.instances = fleet.read_fleet(self.folder / "replay")
        expected = sum(instance.anomalous for instance in self.instances)
        self.say(f"fleet: {len(self.instances)} instances from {self.source} data, {expected} with "
                 "an anomaly now")
        self.aws.start()
        self.aws.client("s3").create_bucket(Bucket=PACKAGE_BUCKET)
        self.say(f"local AWS: MiniStack answers on {self.aws.endpoint}")

    def queue(self, name):
        """(URL, ARN) of a new queue."""
        sqs = self.aws.client("sqs")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, found["Attributes"]["QueueArn"]

    def listen(self, topic, **options):
        """The URL of a queue that gets the messages of the topic, as a pager or a chat would."""
        url, arn = self.queue("inbox")
        self.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, **options)
        return url

    def deploy(self, meanwhile=lambda: None, parameters=()):
        """Deploys the real template with `sam deploy`, and does `meanwhile` at the same time.
        Returns the stack's outputs. `parameters` stand in for all those of samconfig.toml."""
        overrides = ["--parameter-overrides", *parameters, *LOCAL_PARAMETERS] if parameters else []
        self.say(" ".join(["deploy: sam deploy --config-env local", *overrides]))
        log = self.folder / "sam-deploy.log"
        deploy = self.processes.start(
            [str(environment.programs("tools") / "sam"), "deploy", "--config-env", "local",
             *overrides], log, cwd=ROOT,
            # The poll delay is meant for the quotas of a real account.
            env={**self.aws.environment, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.5"})
        meanwhile()
        wait_for("sam deploy to end", lambda: deploy.poll() is not None, 180)
        if deploy.returncode != 0:
            raise Failure(f"sam deploy failed; its output:\n{report.tail(log, 40)}")
        stack = self.aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self.say(f"deployed: {stack['StackStatus']}, function {outputs['FunctionName']}")
        return outputs

    def put_history(self, since=None, until=None):
        """Puts the replayed CPU into CloudWatch, from `since` until before `until` where they are
        given."""
        points = fleet.put_history(self.aws.client("cloudwatch"), self.instances, since, until)
        self.say(f"history: {points:,} datapoints of CPUUtilization are in CloudWatch")

    def publish_model(self, outputs):
        """Publishes and promotes the default artifact. Returns its version."""
        models = f"s3://{outputs['ModelBucketName']}/models"
        version = self.publish(models, ROOT / "models" / "default.safetensors")
        self.command([self.model_builder(), "promote", "--to", models, "--version", version],
                     "promote", self.aws.environment, "make build-host")
        self.say(f"model: {version} is published and promoted, {outputs['ModelPointerUri']} points "
                 "to it")
        return version

    def publish(self, models, artifact):
        """Stores an artifact, and returns its version."""
        shown = subprocess.run([self.model_builder(), "inspect", "--artifact", str(artifact),
                                "--json"],
                               cwd=ROOT, capture_output=True, text=True)
        if shown.returncode != 0:
            raise Failure("model-builder inspect failed; perhaps `make model` is "
                          f"missing:\n{shown.stderr}")
        card = json.loads(shown.stdout)
        self.command([self.model_builder(), "publish", "--artifact", str(artifact), "--to", models],
                     "publish", self.aws.environment, "make model")
        return f"{card['training']['date']}-{card['checksum'][:12]}"

    def model_builder(self):
        return str(TARGET / "debug" / "model-builder")

    def command(self, command, name, env, advice):
        log = self.folder / f"{name}.log"
        try:
            process = self.processes.start(command, log, cwd=ROOT, env=env)
        except FileNotFoundError:
            raise Failure(f"{command[0]} is not there; run `{advice}`.") from None
        wait_for(f"model-builder {name} to end", lambda: process.poll() is not None, 120,
                 every=0.05)
        if process.returncode != 0:
            raise Failure(f"model-builder {name} failed (perhaps `{advice}` is "
                          f"missing):\n{report.tail(log, 20)}")

    def end(self):
        """Ends every process of the scene and removes the data of the local AWS; logs and pictures
        stay."""
        ignore_signals()
        self.processes.end_all()
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)


class Staged(unittest.TestCase):
    """Tests that look at the outcome of a scene. The scene runs once for all of them, and ends
    whatever it has started."""

    Scene = None  # a Stage with a method `run`

    @classmethod
    def setUpClass(cls):
        cls.scene = cls.Scene()
        cls.addClassCleanup(forget_old_runs)
        cls.addClassCleanup(cls.scene.end)
        started = time.monotonic()
        try:
            cls.scene.run()
        except Exception:
            report.print_logs(cls.scene)
            raise
        cls.scene.say(f"all has happened, in {time.monotonic() - started:.0f} s")


def forget_old_runs():
    """Keeps the newest runs only. A run that is still going has its scratch folder, and is left
    alone."""
    runs = sorted((LOCAL / "runs").glob("*Z-*"))
    for folder in runs[:-KEPT_RUNS]:
        if not (folder / "scratch").exists():
            shutil.rmtree(folder, ignore_errors=True)
