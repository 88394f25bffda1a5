"""What a deployment sends: the messages for people on its topic, the events for rules on its bus,
and what goes to the dead-letter queue. A bus of our own comes first, then no bus.

A test that a person asks for ({"test": "alerts"}) takes the way of an anomaly's message. MiniStack
enforces no policy, so S3 and the detector could write to any topic here; test_template.py reads the
policies. Lambda's attempts and their destination are as in AWS, a second apart instead of a minute.
"""

import json
import unittest

import environment

if __name__ == "__main__":
    environment.continue_in("aws")

import measure
from deployed import PAUSED, BareStage, Deployed, Queue, ask_for_test, attributes
from local_aws import wait_for
from stage import STACK, Staged

BUS = "alerts"
MISUNDERSTOOD = {"time": "yesterday"}
ATTEMPTS = 2  # MaximumRetryAttempts is 1


class Scene(BareStage):
    """Runs the whole scene, once for all tests."""

    def run(self):
        self.begin()
        self.aws.client("events").create_event_bus(Name=BUS)
        outputs = self.deploy(parameters=[PAUSED, f"EventBusName={BUS}", "NotifyChanges=on"])
        self.inbox = Queue(self.aws, "inbox").subscribe(outputs["AlarmTopicArn"])
        self.rule = Queue(self.aws, "events").follow(BUS, "ours")
        self.other_rule = Queue(self.aws, "default-events").follow("default", "ours")
        self.answer = ask_for_test(self.aws, outputs["FunctionName"])
        [self.message] = self.await_alerts(1)
        [self.event] = wait_for("the event", self.rule.all, 30)
        self.change(outputs["ModelBucketName"])
        self.fail(outputs)

        # In an update, a parameter that is not given keeps its value.
        outputs = self.deploy(parameters=[PAUSED, 'EventBusName=""', "NotifyRecovery=on",
                                          "NotifyChanges=off"])
        self.write(outputs["ModelBucketName"], "models/unnoticed")
        self.answer_without_bus = ask_for_test(self.aws, outputs["FunctionName"])
        _, self.message_without_bus = self.await_alerts(2)
        self.changes_after = self.inbox.changes()
        self.events = self.rule.all()
        self.other_events = self.other_rule.all()
        # Read last: a whole deployment lies between this and the failed run.
        self.without_bus = Deployed(self.aws)

    def await_alerts(self, number):
        return wait_for("the message", lambda: at_least(number, self.inbox.alerts()), 30)

    def change(self, bucket):
        """Writes and removes objects."""
        # First, so that a message about it would come before the others.
        self.write(bucket, "state/shards/1/0")
        self.write(bucket, "models/current")
        self.write(bucket, "settings/mutes.json")
        self.aws.client("s3").delete_object(Bucket=bucket, Key="settings/mutes.json")
        self.changes = wait_for("the messages of S3",
                                lambda: at_least(3, self.inbox.changes()), 30)

    def write(self, bucket, key):
        self.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"{}")

    def fail(self, outputs):
        """Asks for a run that must fail, as a schedule asks."""
        def ended():
            streams = measure.log_streams(self.aws, outputs["LogGroupName"])
            return sum(measure.Run(lines).ended for lines in streams)

        wait_for("the log of the test", lambda: ended() == 1, 30)
        self.aws.client("lambda").invoke(FunctionName=outputs["FunctionName"],
                                         InvocationType="Event",
                                         Payload=json.dumps(MISUNDERSTOOD))
        # Lambda tries again only what has failed.
        wait_for("both attempts to fail", lambda: ended() == 1 + ATTEMPTS, 60)


def at_least(number, found):
    return found if len(found) >= number else None


class Messages(Staged):
    maxDiff = None

    Scene = Scene

    def test_the_detector_says_that_it_has_sent_the_test(self):
        sent = {"events": 1, "messages": 1, "chats": 0, "failed": 0}
        self.assertEqual(self.scene.answer, {"test": sent})
        self.assertEqual(self.scene.answer_without_bus, {"test": {**sent, "events": 0}})

    def test_a_message_has_a_subject_attributes_and_plain_lines(self):
        for message in (self.scene.message, self.scene.message_without_bus):
            self.assertTrue(message["Subject"].startswith(f"TEST of {STACK}"), message["Subject"])
            found = attributes(message)
            self.assertEqual(set(found), {"kind", "id", "deployment"})
            self.assertEqual((found["kind"], found["deployment"]), ("test", STACK))
            lines = message["Message"].splitlines()
            self.assertGreater(len(lines), 1)
            self.assertIn(message["Subject"], lines[0])
            self.assertNotIn('"', message["Message"])

    def test_a_rule_of_our_own_gets_the_event_with_the_words_of_the_message(self):
        event, message = self.scene.event, self.scene.message
        self.assertEqual((event["source"], event["detail-type"]), ("deepguard", "DeepGuard Test"))
        detail = event["detail"]
        self.assertEqual(detail["deployment"], STACK)
        self.assertEqual(detail["id"], attributes(message)["id"])
        self.assertEqual((detail["subject"], detail["text"]),
                         (message["Subject"], message["Message"]))

    def test_without_a_bus_there_is_no_event(self):
        self.assertEqual(self.scene.without_bus.variables("Detector")["EVENT_BUS"], "")
        self.assertEqual(len(self.scene.events), 1)
        self.assertEqual(self.scene.other_events, [])

    def test_each_message_is_one_message(self):
        self.assertEqual(len(self.scene.inbox.alerts()), 2)

    def test_a_change_of_models_and_settings_is_a_message_if_it_shall_be(self):
        names = [(name.split(":")[0], key) for name, key in self.scene.changes]
        self.assertEqual(names, [("ObjectCreated", "models/current"),
                                 ("ObjectCreated", "settings/mutes.json"),
                                 ("ObjectRemoved", "settings/mutes.json")])
        self.assertEqual(self.scene.changes_after, self.scene.changes)
        self.assertEqual(self.scene.without_bus.changes, [])

    def test_a_failed_run_is_no_dead_letter(self):
        deployed = self.scene.without_bus
        self.assertEqual(deployed.queue["ApproximateNumberOfMessages"], "0")
        self.assertEqual(deployed.queue["ApproximateNumberOfMessagesNotVisible"], "0")
        for name, config in deployed.invoke_configs.items():
            self.assertFalse(config.get("DestinationConfig", {}).get("OnFailure"), name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
