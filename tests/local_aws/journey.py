"""The whole path on a local AWS: deploy, schedule, scores, alarm, notification. `make run` runs
this.

This program simulates no part of AWS. `sam deploy` deploys the real template to MiniStack, and the
schedule starts the real bootstrap. The program only prepares (history, model, a queue on the
topic), waits and looks. It exits 0 if all of it held. The files of a run stay in `.local/runs/`;
--result writes the outcome as JSON, which the end-to-end test reads.
"""

import argparse
import json
import os
import sys
import time
import traceback
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import environment

if __name__ == "__main__":
    environment.continue_in("aws")

import fleet
import measure
import report
from local_aws import Failure, interrupt_on_termination, wait_for
from stage import NAMESPACE, Stage, forget_old_runs


class Journey(Stage):
    def __init__(self, options):
        super().__init__()
        self.options = options
        self.result = {"held": False, "folder": str(self.folder), "steps": {}}

    def step(self, name, since):
        self.result["steps"][name] = round(time.monotonic() - since, 1)

    def run(self):
        started = time.monotonic()
        self.prepare(self.options.replay)
        self.result.update(endpoint=self.aws.endpoint, source=self.source)
        self.step("prepare", started)
        started = time.monotonic()
        outputs = self.deploy(meanwhile=self.put_history)
        self.step("deploy", started)
        self.publish_model(outputs)
        queue = self.listen(outputs["AlarmTopicArn"])
        self.wait_for_alarm(outputs, queue)
        self.collect(outputs)
        self.explain()
        self.measure(outputs)
        self.result["held"] = True

    def put_history(self, since=None, until=None):
        started = time.monotonic()
        super().put_history(since, until)
        self.step("history", started)

    def wait_for_alarm(self, outputs, queue):
        """Waits for the schedule: no hand invokes the function before the alarm has rung."""
        started = time.monotonic()
        cloudwatch = self.aws.client("cloudwatch")
        self.say("waiting for the schedule, which fires by itself 60 to 70 s after it was deployed")
        reminder = started + 15
        names = [outputs[f"{which}AlarmName"]
                 for which in ("Anomaly", "Silence", "Error", "Calibrator")]

        def alarms():
            return {alarm["AlarmName"]: alarm
                    for alarm in cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]}

        def rung():
            nonlocal reminder
            if time.monotonic() > reminder:
                reminder += 15
                self.say("  still waiting")
            self.runs = measure.scheduled_runs(self.aws, outputs["LogGroupName"])
            failed = [run for run in self.runs if run.error]
            if failed:
                raise Failure(f"The scheduled run failed: {failed[0].error}")
            return alarms()[outputs["AnomalyAlarmName"]]["StateValue"] == "ALARM" and self.runs

        wait_for("the schedule to fire and the anomaly alarm to ring", rung, 150, every=0.5)
        self.alarms = alarms()
        self.alarm = self.alarms[outputs["AnomalyAlarmName"]]
        self.step("schedule_and_alarm", started)
        self.say(f"alarm: {self.alarm['AlarmName']} is in ALARM")
        sqs = self.aws.client("sqs")

        def notified():
            received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10,
                                           WaitTimeSeconds=1)
            for message in received.get("Messages", []):
                text = json.loads(message["Body"])["Message"]
                # the text of an event about one instance; an alarm's message is JSON
                if not text.startswith("{"):
                    self.result.setdefault("events_told", []).append(text)
                    continue
                told = json.loads(text)
                if (told["AlarmName"] == self.alarm["AlarmName"]
                        and told["NewStateValue"] == "ALARM"):
                    return told
            return None

        self.notification = wait_for("the alarm's notification in the queue", notified, 30)
        self.say("notification: it is in the queue")
        self.result.update(
            alarm={"name": self.alarm["AlarmName"], "state": self.alarm["StateValue"],
                   "reason": self.alarm["StateReason"]},
            other_alarms={name: alarm["StateValue"] for name, alarm in self.alarms.items()
                          if name != self.alarm["AlarmName"]},
            notification=self.notification)

    def collect(self, outputs):
        """Reads the published scores and the log of the first run."""
        self.first = self.runs[0]
        newest = max(instance.datapoints[-1][0] for instance in self.instances)
        rows = fleet.read_published(self.aws.client("cloudwatch"), NAMESPACE, self.instances,
                                    newest - timedelta(hours=3), newest)
        fleet.write_published(self.folder / "published.csv", rows)
        self.verdicts = fleet.verdicts(self.instances, rows)
        self.result.update(invoked_by_schedule=len(self.runs), summary=self.first.summary,
                           verdicts=self.verdicts)
        unscored = [verdict["instance"] for verdict in self.verdicts
                    if verdict["verdict"] == "not scored"]
        if unscored:
            raise Failure(f"No score was published for {', '.join(unscored)}; the run said "
                          f"{self.first.summary}")
        if not any(verdict["verdict"] == "found" for verdict in self.verdicts):
            raise Failure("The alarm rang, but for no instance that has an anomaly.")

    def explain(self):
        picture = self.folder / "explained.png"
        self.command([self.model_builder(), "explain", "--history", str(self.folder / "replay"),
                      "--published", str(self.folder / "published.csv"), "--out", str(picture)],
                     "explain", os.environ, "make build-host")
        if not picture.is_file():
            raise Failure(f"model-builder explain wrote no {picture}")
        self.result["picture"] = str(picture)
        self.say("picture: drawn")

    def measure(self, outputs):
        self.result["measured"] = measure.speed_and_memory(self.aws, outputs["FunctionName"],
                                                           self.first)
        self.result["events"] = measure.each_event(self.aws, outputs["FunctionName"],
                                                   self.instances)
        wrong = [event for event in self.result["events"] if not event["as_expected"]]
        if wrong:
            raise Failure("These events were not answered as they should be:\n"
                          + json.dumps(wrong, indent=2))
        self.say("events: every file of events/ was answered as it should be "
                 f"({len(self.result['events'])})")

    def end(self):
        super().end()
        self.result["seconds"] = round(time.monotonic() - self.began, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--result", type=Path, help="write what happened to this file, as JSON")
    parser.add_argument("replay", nargs="*",
                        help="options for `model-builder replay`, after `--`: -- --generated")
    options = parser.parse_args()
    interrupt_on_termination()
    journey = Journey(options)
    code = 1
    try:
        with ExitStack() as stack:
            stack.callback(journey.end)
            try:
                journey.run()
                code = 0
            except Failure as failure:
                journey.result["failure"] = str(failure)
                report.print_failure(journey, failure)
            except KeyboardInterrupt:
                journey.result["failure"] = "interrupted"
                print("\ninterrupted; ending all processes", flush=True)
                code = 130
            except Exception as error:  # such as MiniStack gone in the middle
                (journey.folder / "traceback.txt").write_text(traceback.format_exc())
                journey.result["failure"] = (f"{type(error).__name__}: {error} "
                                             "(more in traceback.txt)")
                report.print_failure(journey, journey.result["failure"])
    finally:
        if options.result:
            options.result.write_text(json.dumps(journey.result, indent=2, default=str))
        forget_old_runs()
    if code == 0:
        report.print_result(journey)
    return code


if __name__ == "__main__":
    sys.exit(main())
