"""Several shards on a local AWS: the schedule starts the state machine, and one of four runs scores
each instance. With another number of shards the next run goes on where those have ended. The
calibrator goes the same way first."""

import json
import re
import unittest
from datetime import timedelta

import environment

if __name__ == "__main__":
    environment.continue_in("aws")

import fleet
import measure
from local_aws import Failure, wait_for
from stage import NAMESPACE, Stage, Staged

SHARDS = 4
LOOKBACK = timedelta(minutes=180)  # the template's default
WITHHELD = 6  # datapoints of each instance that come only after the shards have run: half an hour
PARAMETERS = ["ModelKey=models/current", "PublishMode=full"]  # as samconfig.toml has them
SOON, NEVER = 'ScheduleExpression="rate(1 minute)"', "Schedules=off"


class Scene(Stage):
    """Runs the whole scene, once for all tests. The tests only look at its results."""

    def run(self):
        self.prepare(["--generated"])
        self.withheld = newest(self.instances) - (WITHHELD - 1) * fleet.STEP
        outputs = self.deploy(lambda: self.put_history(until=self.withheld),
                              [SOON, *PARAMETERS, f"Shards={SHARDS}"])
        self.publish_model(outputs)
        self.bucket = outputs["ModelBucketName"]
        self.calibrate(outputs)
        self.follow_the_schedule(outputs["DetectorShardsArn"], outputs["LogGroupName"])
        self.fail(outputs["DetectorShardsArn"])

        # No schedule runs any more, so that the next run is the one that this test starts.
        outputs = self.deploy(parameters=[NEVER, *PARAMETERS, "Shards=1"])
        self.left_machines = self.aws.client("stepfunctions").list_state_machines()["stateMachines"]
        wait_for("the last runs to end",
                 lambda: all(run.ended for run in self.runs(outputs["LogGroupName"])), 60)
        self.before = self.published("Maximum")
        self.put_history(since=self.withheld)
        self.resharded = self.invoke(outputs["FunctionName"])
        self.again = self.invoke(outputs["FunctionName"])
        self.recalibrated = self.invoke(outputs["CalibratorName"])
        self.after = {statistic: self.published(statistic) for statistic in ("Minimum", "Maximum")}
        self.state = self.keys("state/shards/")

    def calibrate(self, outputs):
        """Starts the calibrator by hand, because its schedule runs at night. It comes before the
        detector, which would make the missing baselines itself."""
        self.calibration = self.execute(outputs["CalibratorShardsArn"], {})
        self.calibrated = [run.summary for run in self.runs(outputs["CalibratorLogGroupName"])]
        self.baselines = self.keys("state/baselines/")

    def follow_the_schedule(self, machine, group):
        self.say("waiting for the schedule, which fires by itself 60 to 70 s after it was deployed")
        states = self.aws.client("stepfunctions")
        first = wait_for("the schedule to start the state machine",
                         lambda: states.list_executions(stateMachineArn=machine)["executions"],
                         150)[-1]
        self.execution = self.ended(first["executionArn"])
        self.detected = [run for run in self.runs(group) if run.ended]
        self.say(f"state machine: {self.execution['status']}, {len(self.detected)} runs of the "
                 "detector")

    def fail(self, machine):
        """A time that no shard understands."""
        self.failure = self.execute(machine, {"time": "yesterday"})

    def execute(self, machine, given):
        states = self.aws.client("stepfunctions")
        return self.ended(states.start_execution(stateMachineArn=machine,
                                                 input=json.dumps(given))["executionArn"])

    def ended(self, execution):
        """The execution, and the outcomes of its shards."""
        states = self.aws.client("stepfunctions")

        def over():
            described = states.describe_execution(executionArn=execution)
            return described if described["status"] != "RUNNING" else None

        described = wait_for("the state machine to end", over, 120)
        described["shards"] = [
            states.describe_execution(executionArn=child["executionArn"])
            for map_run in states.list_map_runs(executionArn=execution)["mapRuns"]
            for child in states.list_executions(mapRunArn=map_run["mapRunArn"])["executions"]]
        return described

    def invoke(self, function):
        answer, error, _ = measure.invoke(self.aws, function, {})
        if error:
            raise Failure(f"{function} failed: {json.dumps(answer)}")
        return answer

    def runs(self, group):
        return [measure.Run(lines) for lines in measure.log_streams(self.aws, group)]

    def keys(self, prefix):
        listed = self.aws.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return {found["Key"] for found in listed.get("Contents", [])}

    def published(self, statistic):
        """{(instance, time, metric): value} of all that the detector has published of the
        instances."""
        until = newest(self.instances)
        rows = fleet.read_published(self.aws.client("cloudwatch"), NAMESPACE, self.instances,
                                    until - 2 * LOOKBACK, until, statistic)
        return {(instance, at, metric): value for instance, at, metric, value in rows}


class Shards(Staged):
    Scene = Scene

    def test_the_schedule_started_the_state_machine_and_it_succeeded(self):
        execution = self.scene.execution
        self.assertEqual(execution["status"], "SUCCEEDED", execution.get("cause"))
        self.assertEqual(json.loads(execution["input"])["source"], "aws.scheduler")

    def test_each_shard_was_asked_once_and_about_the_same_time(self):
        scheduled = json.loads(self.scene.execution["input"])["time"]
        asked = [json.loads(shard["input"]) for shard in self.scene.execution["shards"]]
        self.assertEqual(sorted(asked, key=lambda event: event["shard"]),
                         [{"shard": shard, "shards": SHARDS, "time": scheduled}
                          for shard in range(SHARDS)])

    def test_each_instance_was_scored_by_one_shard(self):
        summaries = [run.summary for run in self.scene.detected]
        self.assertEqual(shards_of(summaries), all_shards())
        instances = [summary["instances"] for summary in summaries]
        self.assertEqual(sum(part["seen"] for part in instances), len(self.scene.instances))
        self.assertEqual(sum(part["scored"] for part in instances), len(self.scene.instances))
        for summary in summaries:
            self.assertEqual(summary["state"], {"loaded": "missing", "saved": True})
        self.assertEqual({instance for instance, _, _ in self.scene.before},
                         {instance.id for instance in self.scene.instances})

    def test_each_shard_has_written_its_state(self):
        # GroupBy, which the template sets, divides the fleet: its hash is in the keys.
        parts = {re.sub(rf"^state/shards/{SHARDS}-[0-9a-f]{{8}}/", "", key)
                 for key in self.scene.state}
        self.assertLessEqual({str(shard) for shard in range(SHARDS)}, parts)

    def test_all_shards_run_and_the_execution_fails_if_they_fail(self):
        failure = self.scene.failure
        self.assertEqual((failure["status"], failure["error"]), ("FAILED", "ShardFailed"))
        self.assertEqual([shard["status"] for shard in failure["shards"]], ["FAILED"] * SHARDS)

    def test_with_one_shard_there_is_no_state_machine(self):
        self.assertEqual(self.scene.left_machines, [])

    def test_another_number_of_shards_goes_on_where_the_last_one_ended(self):
        summary = self.scene.resharded
        self.assertEqual(summary["shard"], {"shard": 0, "shards": 1})
        self.assertEqual(summary["state"], {"loaded": "resharded", "saved": True})
        self.assertEqual(summary["instances"]["seen"], len(self.scene.instances))
        self.assertEqual(summary["instances"]["scored"], len(self.scene.instances))
        self.assertEqual(summary["newest_datapoint"],
                         fleet.format_time(newest(self.scene.instances)))
        self.assertIn("state/shards/1/0", self.scene.state)

    def test_what_came_late_is_made_up_for(self):
        caught_up = self.scene.resharded["caught_up"]
        withheld = [time for instance in self.scene.instances for time, _ in instance.datapoints
                    if time >= self.scene.withheld]
        self.assertTrue(0 < caught_up["datapoints"] <= len(withheld), caught_up)
        self.assertEqual(caught_up["oldest"], fleet.format_time(min(withheld)))

    def test_a_run_without_new_datapoints_publishes_no_scores(self):
        self.assertEqual(self.scene.again["instances"]["scored"], 0)
        self.assertEqual(self.scene.again["instances"]["unchanged"], len(self.scene.instances))

    def test_every_datapoint_has_one_score_and_nothing_was_published_twice_with_another_value(self):
        after = self.scene.after
        self.assertEqual(after["Minimum"], after["Maximum"])
        self.assertLessEqual(self.scene.before.items(), after["Maximum"].items())
        since = min(time for _, time, _ in self.scene.before)
        self.assertEqual({(instance, time) for instance, time, _ in after["Maximum"]},
                         {(instance.id, time) for instance in self.scene.instances
                          for time, _ in instance.datapoints if time >= since})

    def test_the_calibrator_has_made_the_baselines_of_the_day(self):
        self.assertEqual(self.scene.calibration["status"], "SUCCEEDED",
                         self.scene.calibration.get("cause"))
        summaries = self.scene.calibrated
        self.assertEqual(shards_of(summaries), all_shards())
        for count, expected in {"seen": len(self.scene.instances),
                                "made": len(self.scene.instances), "known": 0,
                                "too_little": 0, "skipped": 0}.items():
            self.assertEqual(sum(summary["instances"][count] for summary in summaries), expected,
                             count)
        # With fourteen instances a shard may well be empty. Then there is nothing to write.
        of_tag = rf"/{SHARDS}-[0-9a-f]{{8}}/"  # the hash of GroupBy, which divides the fleet
        self.assertEqual({re.sub(of_tag, f"/{SHARDS}/", key) for key in self.scene.baselines},
                         {f"state/baselines/{summary['day']}/{SHARDS}/{summary['shard']['shard']}"
                          for summary in summaries if summary["instances"]["made"]})

    def test_the_calibrator_makes_nothing_twice_not_even_with_another_number_of_shards(self):
        answer = self.scene.recalibrated
        self.assertEqual(answer["shard"], {"shard": 0, "shards": 1})
        self.assertRegex(answer["day"], r"^\d{4}-\d{2}-\d{2}$")
        self.assertEqual(answer["instances"]["known"], len(self.scene.instances))
        self.assertEqual(answer["instances"]["made"], 0)


def all_shards():
    return [{"shard": shard, "shards": SHARDS} for shard in range(SHARDS)]


def shards_of(summaries):
    return sorted((summary["shard"] for summary in summaries), key=lambda part: part["shard"])


def newest(instances):
    return max(instance.datapoints[-1][0] for instance in instances)


if __name__ == "__main__":
    unittest.main(verbosity=2)
