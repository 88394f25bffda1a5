"""Runs every command of DOCUMENTS: each line of a ```sh block, in the order of the documents, with
the `aws` command line and the real model-builder, against one deployment on a local AWS.

The test replaces stand-ins (MODEL-BUCKET, i-0123456789abcdef0, a version, a time) by real values.
ELSEWHERE lists the commands that cannot run here, and where they run instead. CHECKED lists those
that the local AWS does not know: the command line must understand them. A command that is neither
of `aws` or model-builder nor in ELSEWHERE is a failure, and so is an entry that no command needs.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
import unittest
from datetime import datetime, timedelta, timezone

import environment

if __name__ == "__main__":
    environment.continue_in("aws")

import fleet
import measure
from environment import ROOT, TARGET
from local_aws import Failure, wait_for
from stage import STACK, Stage, Staged
from test_models import DEFAULT, rethreshold

# In this order: the last one ends with the uninstallation. Documents without commands are listed
# for the day on which they get some.
DOCUMENTS = ["README.md", "docs/reference.md", "docs/models.md", "docs/predictor.md",
             "docs/comparison.md", "docs/DESIGN.md", "docs/model-card.md", "docs/bad-night.md",
             "docs/cost.md", "docs/first-deployment.md", "docs/operations.md"]
# No schedule runs meanwhile.
PARAMETERS = ["Schedules=off", "ModelKey=models/current", "PublishMode=full"]

# Beginnings of commands that do not run here: why, and where they run instead.
ELSEWHERE = {
    "make run":
        "it deploys to a local AWS of its own: test_journey.py is the same run, with `make test`",
    "make bad-night": "bad_night.py is part of `make test`",
    "make test": "this is part of it; CI runs it",
    "aws lambda invoke --function-name DETECTOR --cli-binary-format":
        "needs the AWS CLI 2 and a page: functions/src/run/tests/labels.rs sends what it sends",
    "make deploy":
        "needs an AWS account: test_template.py deploys the same template, with `make test`",
    "make build-host": "a build: `make test` begins with it",
    "make model":
        "a quarter of a minute of training: model-builder's own tests train, with `cargo test`",
    "make evaluate": "minutes of training: model-builder's own tests evaluate, with `cargo test`",
    "pip install cargo-lambda": "environment.py installs this version for `make build`",
    "cargo lambda watch": "a server in a shell of its own; the local AWS runs the same bootstrap",
    "AWS_LAMBDA_RUNTIME_API=":
        "belongs to `cargo lambda watch`; functions/tests/kill.rs starts the bootstrap like this",
    "cargo lambda invoke": "belongs to `cargo lambda watch`; test_journey.py sends all of events/",
    "git pull": "would change this checkout",
    "openssl genpkey": "lay_out makes such a key; aws/src/signature.rs reads one of OpenSSL's",
}
# Commands that the local AWS does not know, or that take too long. Only the way in which their
# programs parse the words is checked.
CHECKED = {
    "aws kms put-key-policy": "the local AWS has no such key",
    "aws cloudwatch describe-alarm-contributors":
        "MiniStack has neither the call nor alarms on Metrics Insights queries",
    "target/debug/model-builder train --cloudwatch":
        "test_train.py trains on the account's own history, with `make test`",
    "target/debug/model-builder train":
        "a quarter of a minute of training: model-builder's own tests train",
    "target/debug/model-builder evaluate":
        "minutes of training: model-builder's own tests evaluate",
}
LINES_OF_THE_LOG = ("aws logs filter-log-events --log-group-name /aws/lambda/deepguard "
                    "--filter-pattern")
# Text that the answer to a command with this beginning must contain. The command must not fail,
# either.
EXPECTED = {
    "aws cloudformation describe-stacks": "ModelBucketName",
    "aws cloudwatch describe-alarms": f"{STACK}-anomaly",
    f"{LINES_OF_THE_LOG} '\"the run is over\"'": '"summary"',
    f"{LINES_OF_THE_LOG} '\"an anomaly begins\"'": "Anomaly Began",
    "aws lambda invoke": '"StatusCode": 200',
    "aws scheduler list-schedules": "DISABLED",  # PARAMETERS
    "aws cloudwatch list-metrics --namespace AWS/EC2": "InstanceId",
    "aws s3 cp s3://MODEL-BUCKET/models/current": '"sha256"',
    "aws s3 cp s3://MODEL-BUCKET/settings/mutes.json -": '"mutes"',
    "aws s3 ls s3://MODEL-BUCKET/models/promotions/": ".json",
    "target/debug/model-builder rollback": "the next run scores with it",
    "target/debug/model-builder inspect": "SHA-256",
}


# The key of RFC 8032's first test.
KEY = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""


def commands(document):
    """(line number, command) of all sh blocks; a backslash at the end of a line joins it with the
    next."""
    found, block, pending, begun = [], False, "", 0
    for number, line in enumerate((ROOT / document).read_text().splitlines(), 1):
        line = line.strip()
        if line.startswith("```"):
            block = not block and line == "```sh"
            continue
        if not block or not line or (line.startswith("#") and not pending):
            continue
        begun = begun if pending else number
        if line.endswith("\\"):
            pending += line[:-1]
            continue
        # A comment behind the command is a note to the reader, not an argument.
        found.append((begun, re.sub(r"\s{2,}#.*$", "", pending + line)))
        pending = ""
    return found


def blocks(document, language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", (ROOT / document).read_text(),
                      re.MULTILINE | re.DOTALL)


def entry(table, command):
    """The key of the table that the command begins with, the longest of them."""
    return max((key for key in table if command.startswith(key)), key=len, default=None)


class Scene(Stage):
    """The deployment, and all commands run in it. The tests look at the answers."""

    def run(self):
        self.prepare(["--generated"])
        self.outputs = self.deploy(self.put_history, PARAMETERS)
        self.current = self.publish_model(self.outputs)
        self.lay_out()
        self.answer, error, _ = measure.invoke(self.aws, self.outputs["FunctionName"], {})
        self.first_error = error
        self.aws.client("s3").put_object(Bucket=self.outputs["ModelBucketName"],
                                         Key="settings/mutes.json", Body=b'{"mutes": []}')
        self.used, self.failed, self.said = set(), [], {}
        for document in DOCUMENTS:
            for number, command in commands(document):
                self.take(f"{document}:{number}", command)
            self.say(f"{document}: {len(commands(document))} commands")

    def lay_out(self):
        """A checkout of its own, so that the commands write no file of this one."""
        self.checkout = self.folder / "checkout"
        (self.checkout / "target").mkdir(parents=True)
        (self.checkout / "docs" / "images").mkdir(parents=True)
        (self.checkout / "target" / "debug").symlink_to(TARGET / "debug")
        for name in ("models", "events", "samples"):
            shutil.copytree(ROOT / name, self.checkout / name)
        # It does not page more than the current model, so it may be promoted.
        other = self.checkout / "model.safetensors"
        other.write_bytes(rethreshold(DEFAULT.read_bytes(), 1.5))
        self.other = self.publish(f"s3://{self.outputs['ModelBucketName']}/models", other)
        (self.checkout / "deepguard.pem").write_text(KEY)
        path = f"{environment.programs('cli')}{os.pathsep}{os.environ['PATH']}"
        self.shell = {**self.aws.environment, "PATH": path, "USER": "reader", "AWS_PAGER": ""}

    def filled_in(self, command):
        """The command with real values in place of the stand-ins."""
        now = datetime.now(timezone.utc)
        version = self.current if " rollback " in command else self.other
        stand_ins = {
            "MODEL-BUCKET": self.outputs["ModelBucketName"],
            "DETECTOR": self.outputs["FunctionName"],
            "CALIBRATOR": self.outputs["CalibratorName"],
            "ALARM-TOPIC-ARN": self.outputs["AlarmTopicArn"],
            "DEAD-LETTERS-URL": self.outputs["DeadLettersUrl"],
            "QUEUE-ARN": self.outputs["DeadLettersArn"],
            "i-0123456789abcdef0": self.instances[0].id,
            "2026-01-15-0123456789ab": version,
            "2026-01-15T12:00:00Z": fleet.format_time(now - timedelta(hours=2)),
            "2026-11-22T03:10:00Z": fleet.format_time(now - timedelta(hours=1)),
            "2026-01-15T13:00:00Z": fleet.format_time(now - timedelta(hours=1)),
        }
        if "VERSION-ID" in command:
            listed = self.aws.client("s3").list_object_versions(
                Bucket=self.outputs["ModelBucketName"], Prefix="settings/mutes.json")
            stand_ins["VERSION-ID"] = listed["Versions"][-1]["VersionId"]
        for name, value in stand_ins.items():
            command = command.replace(name, value)
        return command

    def take(self, where, command):
        if key := entry(ELSEWHERE, command):
            self.used.add(key)
            return
        run = self.filled_in(command)
        if key := entry(CHECKED, command):
            self.used.add(key)
            run += " --generate-cli-skeleton input" if run.startswith("aws ") else " --help"
        elif shlex.split(command)[0] not in ("aws", "target/debug/model-builder"):
            self.failed.append(f"{where}: `{command}` is not run here, and not in ELSEWHERE")
            return
        if run.startswith("aws "):
            # For SQS the command line has an address of its own and ignores AWS_ENDPOINT_URL.
            run = run.replace("aws ", f"aws --endpoint-url {self.aws.endpoint} ", 1)
        started = time.monotonic()
        done = subprocess.run(["bash", "-c", run], cwd=self.checkout, env=self.shell,
                              capture_output=True, text=True, timeout=90)
        took = time.monotonic() - started
        with open(self.folder / "commands.log", "a") as log:
            log.write(f"{where} ({took:.1f} s)\n$ {run}\n{done.stdout}{done.stderr}\n")
        self.said[command] = done.stdout
        if done.returncode != 0:
            self.failed.append(f"{where}: `{run}` ended with {done.returncode}: "
                               f"{done.stdout[-500:]}{done.stderr[-500:]}")
        elif (key := entry(EXPECTED, command)) and EXPECTED[key] not in done.stdout:
            self.failed.append(f"{where}: `{run}` does not say {EXPECTED[key]}: "
                               f"{done.stdout[-500:]}")
        elif "FunctionError" in done.stdout:
            self.failed.append(f"{where}: `{run}`: "
                               f"{(self.checkout / 'answer.json').read_text()[:500]}")
        if key:
            self.used.add(key)
        if "cp samples/mutes.ics" in command:
            self.mutes = self.with_each_kind_of_mutes()
        if "delete-stack" in command:
            wait_for("the stack to be gone", self.stack_is_gone, 60)

    def with_each_kind_of_mutes(self):
        """Reads what the detector's log says of both examples, and of a file that is no example."""
        client, function = self.aws.client("lambda"), self.outputs["FunctionName"]
        variables = client.get_function_configuration(
            FunctionName=function)["Environment"]["Variables"]
        self.aws.client("s3").put_object(Bucket=self.outputs["ModelBucketName"],
                                         Key="settings/none.json", Body=b'{"mutes": [{}]}')
        for name in ("mutes.ics", "none.json", "mutes.json"):
            uri = f"s3://{self.outputs['ModelBucketName']}/settings/{name}"
            client.update_function_configuration(
                FunctionName=function, Environment={"Variables": variables | {"MUTES_URI": uri}})
            _, error, _ = measure.invoke(self.aws, function, {"dry_run": True})
            if error:
                raise Failure(f"The detector fails with {name}: {error}")
        lines = [line for stream in measure.log_streams(self.aws, self.outputs["LogGroupName"])
                 for line in stream]
        return [line for line in lines if "stays in use" in line]

    def stack_is_gone(self):
        listed = self.aws.client("cloudformation").list_stacks()["StackSummaries"]
        return not any(stack["StackName"] == STACK and stack["StackStatus"] != "DELETE_COMPLETE"
                       for stack in listed)


class Documents(Staged):
    Scene = Scene

    def test_every_command_is_run_or_is_said_to_be_run_elsewhere(self):
        self.assertIsNone(self.scene.first_error, self.scene.answer)
        self.assertEqual(self.scene.failed, [], "\n".join(self.scene.failed))

    def test_no_entry_is_left_that_no_command_needs(self):
        self.assertEqual({*ELSEWHERE, *CHECKED, *EXPECTED} - self.scene.used, set())

    def test_the_bill_is_what_the_command_prints(self):
        bill = self.scene.said["target/debug/model-builder cost --instances 1000"]
        self.assertIn(blocks("docs/cost.md", "text")[0].strip(), bill)
        printed = self.scene.said["target/debug/model-builder cost --table"]
        rows = [line for line in printed.splitlines() if line.startswith("|")]
        self.assertIn("\n".join(rows), (ROOT / "docs" / "cost.md").read_text())

    def test_the_examples_of_mutes_are_those_of_the_samples_and_are_understood(self):
        operations = (ROOT / "docs" / "operations.md").read_text()
        for name in ("mutes.json", "mutes.ics"):
            self.assertIn((ROOT / "samples" / name).read_text(), operations, name)
        self.assertEqual(len(self.scene.mutes), 1, self.scene.mutes)
        self.assertIn("settings/none.json", self.scene.mutes[0])

    def test_the_event_has_the_fields_of_the_document(self):
        lines = self.scene.said[next(command for command in self.scene.said
                                     if "an anomaly begins" in command)].split("\t")
        told = [json.loads(line)["detail"] for line in lines if line.strip()]
        example = next(json.loads(block) for block in blocks("docs/reference.md", "json")
                       if '"how_unusual"' in block)
        self.assertTrue(any(set(detail) == set(example) for detail in told), told)
        documented = set(re.findall(r"`(\w+)`", "\n".join(
            line.split("|")[1] for line in (ROOT / "docs" / "reference.md").read_text().splitlines()
            if re.match(r"\| `.*\| (both|began|ended) \|", line))))
        for detail in told:
            self.assertLessEqual(set(detail), documented)


if __name__ == "__main__":
    unittest.main(verbosity=2)
