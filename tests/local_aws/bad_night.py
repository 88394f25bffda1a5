"""A bad night on the local AWS: twelve machines, and the inbox of the person on call in the
morning.

The night is generated (`model-builder replay --night`) and always the same one. The function is the
real one, deployed with the real template, and runs once for every five minutes of the night.
CloudWatch throttles for half an hour of it. The inbox is a queue on the topic to which an e-mail
address or a pager would be subscribed.

It ends with 0 if the inbox holds one message for each real episode, if each says what happened, and
if the other machines have no message. With --document it writes a report of the night.
"""

import argparse
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import environment

if __name__ == "__main__":
    environment.continue_in("aws")

import fleet
import measure
import report
from environment import ROOT
from interposed import Interposed
from local_aws import Failure, interrupt_on_termination, wait_for
from stage import NAMESPACE, STACK, Stage, forget_old_runs

SEED = 18
# The share of calls that CloudWatch refuses.
REFUSALS = 2
HOURS = 10
THROTTLED = (timedelta(hours=4), timedelta(hours=4, minutes=30))  # into the night: from midnight on
PARAMETERS = ["Schedules=off", "PublishMode=full", "ReportingStopped=on"]
# The topic that each message must name, and the largest error of its "since". A slowly growing
# fault is seen late. After five minutes a deployment is a spike, or unusual for the hour, depending
# on how high the machine has been before.
SUDDEN = ("spike", "unusual for the hour", "level shift")
TOLD = {"web-1": (SUDDEN, 15), "api-1": (("drift", "level shift", "unusual for the hour"), 180),
        "db-1": (("flatline",), 10), "worker-1": (("stopped reporting",), 5), "web-2": (SUDDEN, 5)}


class Night(Stage):
    def run(self):
        self.prepare(["--night", "--seed", str(SEED)])
        manifest = json.loads((self.folder / "replay" / "replay.json").read_text())["instances"]
        self.names = {described["instance"]: described["source"] for described in manifest}
        self.events = {described["source"]: described["event"] for described in manifest}
        self.morning = max(instance.datapoints[-1][0] for instance in self.instances) + fleet.STEP
        self.evening = self.morning - timedelta(hours=HOURS)
        outputs = self.deploy(self.put_history, PARAMETERS)
        self.function = outputs["FunctionName"]
        self.interposed = Interposed(self.aws.endpoint, self.names, REFUSALS)
        self.interpose()
        self.mute(outputs["ModelBucketName"])
        # The alarms report OK once, when they have seen their first metrics. That was long before
        # this night.
        self.invoke(self.function, self.evening)
        self.invoke(outputs["CalibratorName"], self.evening)
        self.wait_for_the_alarms(outputs["CalibratorName"])
        self.inbox = self.listen(outputs["AlarmTopicArn"])
        self.recoveries = self.listen_for_the_end()
        self.follow(outputs)
        self.keep_logs(outputs["LogGroupName"])
        self.messages = [f"{mail['Subject']}\n\n{mail['Message']}"
                         for mail in self.read(self.inbox)]
        self.ends = [message["detail"] for message in self.read(self.recoveries)]
        self.draw()
        self.check()

    def interpose(self):
        """Puts a CloudWatch and tags that can fail in front of the function. All else is the local
        AWS itself."""
        client = self.aws.client("lambda")
        variables = client.get_function_configuration(
            FunctionName=self.function)["Environment"]["Variables"]
        for service in ("CLOUDWATCH", "RESOURCE_GROUPS_TAGGING_API"):
            variables[f"AWS_ENDPOINT_URL_{service}"] = self.interposed.endpoint
        client.update_function_configuration(FunctionName=self.function,
                                             Environment={"Variables": variables})

    def mute(self, bucket):
        event = self.events["load-1"]
        instance = next(instance for instance, name in self.names.items() if name == "load-1")
        mutes = {"mutes": [{"instances": [instance], "from": event["from"],
                            "until": event["until"], "why": "load test"}]}
        self.aws.client("s3").put_object(Bucket=bucket, Key="settings/mutes.json",
                                         Body=json.dumps(mutes).encode())

    def wait_for_the_alarms(self, calibrator):
        names = [f"{STACK}-{which}"
                 for which in ("errors", "throttles", "calibrator", "calibrator-throttles")]
        cloudwatch = self.aws.client("cloudwatch")

        def settled():
            for function in (self.function, calibrator):
                self.invoke(function, self.evening)
            alarms = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
            return len(alarms) == len(names) and all(alarm["StateValue"] == "OK"
                                                     for alarm in alarms)

        wait_for("the alarms of the functions to be OK", settled, 90, every=2)

    def listen_for_the_end(self):
        """A rule of its own, as a team would have for a chat: everything that is over."""
        events = self.aws.client("events")
        url, arn = self.queue("recoveries")
        pattern = {"source": ["deepguard"], "detail-type": ["DeepGuard Anomaly Ended"]}
        events.put_rule(Name="recoveries", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="recoveries", Targets=[{"Id": "queue", "Arn": arn}])
        return url

    def follow(self, outputs):
        """Runs the function for every five minutes of the night, and the calibrator at seven past
        midnight."""
        started = time.monotonic()
        self.summaries = []
        runs = [self.evening + number * fleet.STEP for number in range(HOURS * 12 + 1)]
        midnight = self.evening + timedelta(hours=4)
        for at in runs:
            self.interposed.throttles = THROTTLED[0] <= at - self.evening < THROTTLED[1]
            if at == midnight + 2 * fleet.STEP:
                self.invoke(outputs["CalibratorName"], at - timedelta(minutes=3))
            self.summaries.append((at, self.invoke(self.function, at)))
        self.say(f"the night: {len(runs)} runs in {time.monotonic() - started:.0f} s, "
                 f"{self.interposed.refused} of CloudWatch's calls were throttled")

    def invoke(self, function, at):
        event = {"time": fleet.format_time(at), "shard": 0, "shards": 1}
        answer, error, _ = measure.invoke(self.aws, function, event)
        if error and not self.interposed.throttles:
            raise Failure(f"{function} failed at {event['time']}: {json.dumps(answer)}")
        return answer

    def keep_logs(self, group):
        lines = [line for stream in measure.log_streams(self.aws, group) for line in stream]
        (self.folder / "detector.log").write_text("\n".join(lines))
        self.logged = lines

    def read(self, url):
        """All messages of a queue, in the order of their subjects."""
        sqs, found = self.aws.client("sqs"), []
        while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in received:
                found.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [as_json(body) for body in found]

    def draw(self):
        """Lets explain draw the machines with a message, and the muted one."""
        self.picture = self.folder / "bad-night.png"
        shown = [name for name in (*TOLD, "load-1") if name != "worker-1"]
        instances = [instance for name in shown for instance, other in self.names.items()
                     if other == name]
        command = [self.model_builder(), "explain", "--history", str(self.folder / "replay"),
                   "--hours", str(HOURS + 6), "--out", str(self.picture)]
        for instance in instances:
            command += ["--instance", instance]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)

    def check(self):
        """Checks that each real episode has one message, that it says what happened, and that there
        are no others."""
        told = {}
        for message in self.messages:
            name = next((name for instance, name in self.names.items() if instance in message),
                        None)
            told.setdefault(name, []).append(message)
        wrong = [f"no message is about {name}" for name in TOLD if name not in told]
        more = [f"{name}: {message}" for name, messages in told.items() for message in messages
                if name not in TOLD]
        wrong += more
        wrong += [f"{name}: {len(messages)} messages" for name, messages in told.items()
                  if len(messages) > 1]
        for name, (shapes, minutes) in TOLD.items():
            for message in told.get(name, []):
                if name not in message or not any(shape in message for shape in shapes):
                    wrong.append(f"{name}: the message says neither of {shapes}: {message}")
        self.since = {}
        for detail in self.told_events():
            name = detail["name"]
            if name not in TOLD:
                continue
            since = fleet.parse_time(detail["since"])
            truth = fleet.parse_time(self.events[name]["from"])
            self.since[name] = since
            if not -timedelta(minutes=20) <= since - truth <= timedelta(
                    minutes=TOLD.get(name, ((), 0))[1]):
                wrong.append(f"{name}: since {since}, and it was {truth}")
        last = self.summaries[-1][1]
        newest = {instance.id: instance.datapoints[-1][0] for instance in self.instances}
        scored = {row[:2] for row in self.scores()}
        unscored = [(self.names[instance.id], fleet.format_time(at)) for instance in self.instances
                    for at, _ in instance.datapoints
                    if self.evening <= at and self.names[instance.id] not in ("load-1",)
                    and (instance.id, at) not in scored]
        wrong += [f"{len(unscored)} datapoints have no score: {unscored[:5]}"] if unscored else []
        suppressed = self.highest("SuppressedAnomalies")
        wrong += [] if suppressed >= 1 else ["nothing was counted as suppressed"]
        wrong += [] if last["instances"]["seen"] and newest else ["nothing was seen at last"]
        if wrong:
            raise Failure("The inbox is not as it should be:\n  " + "\n  ".join(wrong))
        self.say(f"the inbox: {len(self.messages)} messages, one for each of {', '.join(TOLD)}; "
                 f"{len(self.ends)} are over; suppressed at most {suppressed:.0f} at a time")

    def told_events(self):
        """The details of the events that began, as the log has them."""
        found = [as_json(line) for line in self.logged if "DeepGuard Anomaly Began" in line]
        return [line["detail"] for line in found if isinstance(line, dict)]

    def scores(self):
        client = self.aws.client("cloudwatch")
        return fleet.read_published(client, NAMESPACE, self.instances, self.evening, self.morning)

    def highest(self, metric):
        answer = self.aws.client("cloudwatch").get_metric_statistics(
            Namespace=NAMESPACE, MetricName=metric, StartTime=self.evening,
            EndTime=self.morning + fleet.STEP, Period=300, Statistics=["Maximum"])
        return max((point["Maximum"] for point in answer["Datapoints"]), default=0)

    def document(self, path):
        """The transcript."""
        throttled = [fleet.format_time(self.evening + part)[11:16] for part in THROTTLED]
        lines = [
            "# A bad night",
            "",
            "Twelve machines from eight in the evening to six in the morning, replayed on a local",
            "AWS by `make bad-night`: the real function, deployed with the real template, "
            f"{len(self.summaries)} runs.",
            f"From {throttled[0]} to {throttled[1]} UTC CloudWatch refuses six calls of ten "
            f"({self.interposed.refused} in all).",
            "A fixed seed generates the night.",
            "",
            "| machine | what happened | who should be told | in the inbox |",
            "| --- | --- | --- | --- |",
        ]
        subjects = {name: message.split("\n")[0] for message in self.messages
                    for name in self.names.values() if name in message}
        for name, event in self.events.items():
            lines.append(f"| {name} | {event['what']} | "
                         f"{'the person on call' if event['told'] else 'no person'} | "
                         f"{subjects.get(name, '')} |")
        lines += [
            "", f"![CPU, expected band and score of five machines](images/{self.picture.name})", "",
                  "## The inbox", "", f"{len(self.messages)} messages, each as it arrived:", ""]
        for message in self.messages:
            lines += ["```text", f"Subject: {message}", "```", ""]
        lines += ["## Over by the morning", "",
                  "Events on the bus, which send no message unless `NotifyRecovery=on`:", ""]
        for detail in self.ends:
            lines += ["```text", detail["text"], "```", ""]
        path.write_text("\n".join(lines))


def as_json(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--document", type=Path,
                        help="the Markdown file to write; its picture goes into images/ beside it")
    options = parser.parse_args()
    interrupt_on_termination()
    night = Night()
    with ExitStack() as stack:
        stack.callback(forget_old_runs)
        stack.callback(night.end)
        try:
            night.run()
        except Failure as failure:
            report.print_failure(night, failure)
            return 1
        if options.document:
            (options.document.parent / "images" / night.picture.name).write_bytes(
                night.picture.read_bytes())
            night.document(options.document)
            night.say(f"written: {options.document}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
