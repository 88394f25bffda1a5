"""Three stacks of the template in one account: two in one Region, and one in a second Region that
has the name of the first. Each tells only its own people, and no resource takes another one's name.

MiniStack separates Regions: each has its own functions, logs, metrics, alarms, buses and queues.
Two things are not as in AWS:
- A generated name is made of the stack's name and the logical id alone, so the roles of two stacks
  of one name in two Regions have one name, too. CloudFormation adds random characters. So the test
  looks at the template for what it names itself.
- Dashboards belong to a Region there, and to the account in AWS. So the test compares the names.
"""

import json
import unittest
from collections import namedtuple

import environment

if __name__ == "__main__":
    environment.continue_in("aws")

import report
from deployed import PAUSED, BareStage, Queue, Region, Stack, ask_for_test, attributes
from environment import ROOT
from local_aws import Failure, REGION, wait_for
from stage import LOCAL_PARAMETERS, NAMESPACE, PACKAGE_BUCKET, STACK, Staged

ABROAD = "eu-central-1"
Place = namedtuple("Place", "region stack namespace shards")
FIRST = Place(REGION, STACK, NAMESPACE, 2)
SECOND = Place(REGION, f"{STACK}-2", f"{NAMESPACE}2", 2)
THIRD = Place(ABROAD, STACK, NAMESPACE, 1)
PLACES = (FIRST, SECOND, THIRD)
# The resources whose names are unique in an account, and the property that would name one.
ACCOUNT_WIDE = {"AWS::IAM::Role": "RoleName", "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
                "AWS::S3::Bucket": "BucketName"}
# The id of an event that no function has sent.
FORGED = "forged"


class Scene(BareStage):
    """Runs the whole scene, once for all tests."""

    def run(self):
        self.begin()
        self.regions = {name: Region(self.aws, name) for name in (REGION, ABROAD)}
        # Lambda takes its code only from a bucket of the same Region.
        self.regions[ABROAD].client("s3").create_bucket(
            Bucket=f"{PACKAGE_BUCKET}-{ABROAD}",
            CreateBucketConfiguration={"LocationConstraint": ABROAD})
        self.stacks = {place: self.deploy_at(place) for place in PLACES}
        self.inboxes = {place: self.inbox(place) for place in PLACES}
        self.rules = {name: Queue(region, "events").follow("default", "ours")
                      for name, region in self.regions.items()}
        # As a stranger could send it. Whoever may put events on the bus may also write this one.
        forged = {"deployment": FIRST.stack, "id": FORGED, "subject": f"TEST of {FIRST.stack}: no"}
        self.regions[REGION].client("events").put_events(Entries=[
            {"Source": "deepguard", "DetailType": "DeepGuard Anomaly Began",
             "Detail": json.dumps(forged)}])
        self.answers = {place: ask_for_test(self.regions[place.region],
                                            self.stacks[place].outputs["FunctionName"])
                        for place in PLACES}
        # The messages of all are on their way before the first inbox is read.
        for place, inbox in self.inboxes.items():
            wait_for(f"the message of {place}", inbox.alerts, 30)
        for name, number in {REGION: 3, ABROAD: 1}.items():
            wait_for(f"the events in {name}", lambda: len(self.rules[name].all()) >= number, 30)
        self.seen = {name: Seen(region) for name, region in self.regions.items()}

    def deploy_at(self, place):
        """Deploys the template under a name and in a Region of its own."""
        log = self.folder / f"sam-deploy-{place.region}-{place.stack}.log"
        bucket = PACKAGE_BUCKET if place.region == REGION else f"{PACKAGE_BUCKET}-{place.region}"
        self.say(f"deploy: {place}")
        deploy = self.processes.start(
            [str(environment.programs("tools") / "sam"), "deploy", "--config-env", "local",
             "--stack-name", place.stack, "--region", place.region, "--s3-bucket", bucket,
             "--parameter-overrides", PAUSED, f"Namespace={place.namespace}",
             f"Shards={place.shards}", *LOCAL_PARAMETERS], log, cwd=ROOT,
            env={**self.aws.environment, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.5",
                 "AWS_REGION": place.region, "AWS_DEFAULT_REGION": place.region})
        wait_for("sam deploy to end", lambda: deploy.poll() is not None, 180)
        if deploy.returncode != 0:
            raise Failure(f"sam deploy failed; its output:\n{report.tail(log, 40)}")
        return Stack(self.regions[place.region], place.stack)

    def inbox(self, place):
        queue = Queue(self.regions[place.region], f"inbox-of-{place.stack}")
        return queue.subscribe(self.stacks[place].outputs["AlarmTopicArn"])


class Seen:
    """The names of all that there is in a Region."""

    def __init__(self, region):
        functions = region.client("lambda").list_functions()["Functions"]
        self.functions = [function["FunctionName"] for function in functions]
        groups = region.client("logs").describe_log_groups()["logGroups"]
        self.logs = [group["logGroupName"] for group in groups]
        cloudwatch = region.client("cloudwatch")
        alarms = cloudwatch.describe_alarms(MaxRecords=100)["MetricAlarms"]
        self.alarms = [alarm["AlarmName"] for alarm in alarms]
        dashboards = cloudwatch.list_dashboards()["DashboardEntries"]
        self.dashboards = [dashboard["DashboardName"] for dashboard in dashboards]
        machines = region.client("stepfunctions").list_state_machines()["stateMachines"]
        self.machines = [machine["name"] for machine in machines]


class Stacks(Staged):
    maxDiff = None

    Scene = Scene

    def test_each_inbox_has_the_one_message_of_its_own_deployment(self):
        for place in PLACES:
            [message] = self.scene.inboxes[place].alerts()
            self.assertEqual(message["TopicArn"],
                             self.scene.stacks[place].outputs["AlarmTopicArn"])
            found = attributes(message)
            self.assertEqual((found["kind"], found["deployment"]), ("test", place.stack))
            # With what follows it, because one name is the beginning of another.
            self.assertTrue(message["Subject"].startswith(f"TEST of {place.stack}:"),
                            message["Subject"])
        for answer in self.scene.answers.values():
            sent = {"events": 1, "messages": 1, "chats": 0, "failed": 0}
            self.assertEqual(answer, {"test": sent})

    def test_a_forged_event_is_no_message(self):
        on_the_bus = [event["detail"]["id"] for event in self.scene.rules[REGION].all()]
        self.assertIn(FORGED, on_the_bus)
        for inbox in self.scene.inboxes.values():
            self.assertEqual(len(inbox.alerts()), 1)

    def test_each_event_says_which_deployment_it_is_of(self):
        for name, rule in self.scene.rules.items():
            events = [event for event in rule.all() if event["detail"]["id"] != FORGED]
            told = sorted(event["detail"]["deployment"] for event in events)
            self.assertEqual(told, sorted(place.stack for place in PLACES if place.region == name))
            for event in events:
                self.assertEqual(event["region"], name)
                self.assertIn(f" {event['detail']['deployment']}:", event["detail"]["subject"])

    def test_two_stacks_of_a_region_have_no_resource_in_common(self):
        first, second = self.scene.stacks[FIRST], self.scene.stacks[SECOND]
        self.assertEqual(first.resources & second.resources, set())
        self.assertEqual(set(first.ids), set(second.ids))

    def test_all_resources_of_a_region_are_there_under_their_own_names(self):
        for name, seen in self.scene.seen.items():
            stacks = [self.scene.stacks[place] for place in PLACES if place.region == name]
            for found, wanted in [(seen.functions, "AWS::Lambda::Function"),
                                  (seen.logs, "AWS::Logs::LogGroup"),
                                  (seen.alarms, "AWS::CloudWatch::Alarm"),
                                  (seen.dashboards, "AWS::CloudWatch::Dashboard")]:
                names = [resource for stack in stacks for resource in stack.of_type(wanted)]
                self.assertGreater(len(names), 0, wanted)
                self.assertEqual(sorted(found), sorted(names), (name, wanted))

    def test_names_that_the_template_gives_begin_with_the_name_of_the_stack(self):
        for place in PLACES:
            stack = self.scene.stacks[place]
            group = f"/aws/lambda/{place.stack}"
            self.assertEqual(stack.of_type("AWS::Logs::LogGroup"), [group, f"{group}-calibrator"])
            for alarm in stack.of_type("AWS::CloudWatch::Alarm"):
                self.assertTrue(alarm.startswith(f"{place.stack}-"), alarm)

    def test_no_name_is_taken_in_the_whole_account(self):
        dashboards = [self.scene.stacks[place].of_type("AWS::CloudWatch::Dashboard")
                      for place in PLACES]
        self.assertEqual(dashboards, [[f"{place.stack}-{place.region}"] for place in PLACES])
        resources = self.scene.stacks[FIRST].processed["Resources"].values()
        for kind, property_name in ACCOUNT_WIDE.items():
            of_kind = [resource for resource in resources if resource["Type"] == kind]
            self.assertGreater(len(of_kind), 0, kind)
            for resource in of_kind:
                self.assertNotIn(property_name, resource["Properties"])
        buckets = [self.scene.stacks[place].outputs["ModelBucketName"] for place in PLACES]
        self.assertEqual(len(set(buckets)), len(PLACES))

    def test_state_machines_have_a_part_of_the_id_of_their_stack(self):
        expected = [f"deepguard-{self.scene.stacks[place].id.split('/')[2].split('-')[0]}-{role}"
                    for place in (FIRST, SECOND) for role in ("calibrator", "detector")]
        self.assertEqual(len(set(expected)), 4)
        self.assertEqual(sorted(self.scene.seen[REGION].machines), sorted(expected))
        self.assertEqual(self.scene.seen[ABROAD].machines, [])

    def test_alarms_look_at_the_metrics_of_their_own_stack_and_notify_its_topic(self):
        for place in PLACES:
            stack = self.scene.stacks[place]
            topic = stack.outputs["AlarmTopicArn"]
            namespaces = {alarm["Namespace"] for alarm in stack.alarms.values()
                          if not alarm["Namespace"].startswith("AWS/")}
            self.assertEqual(namespaces, {place.namespace})
            self.assertEqual(stack.variables("Detector")["NAMESPACE"], place.namespace)
            for name, alarm in stack.alarms.items():
                self.assertLessEqual(set(alarm.get("AlarmActions", [])), {topic}, name)
            self.assertEqual(stack.alarms["errors"]["AlarmActions"], [topic])
        topics = [stack.outputs["AlarmTopicArn"] for stack in self.scene.stacks.values()]
        self.assertEqual(len(set(topics)), len(PLACES))


if __name__ == "__main__":
    unittest.main(verbosity=2)
