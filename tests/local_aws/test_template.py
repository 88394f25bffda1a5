"""The template on a local AWS with each of its conditions on and off, in three deployments: with
everything on, then anew as it is by itself, then without an event bus. The tests look at the
resources through each service's own API. A message goes its whole way from the event bus to a queue
on the topic, and a failed run ends in the dead-letter queue.

MiniStack is not AWS. The tests look for the parts that it drops in the template as CloudFormation
got it (Processed):
- It makes no alarm on a Metrics Insights query. So ContributorAlarm is off here, and a test reads
  the alarm only as text.
- Its CloudFormation drops VpcConfig and KmsKeyArn of a function, the key of a bucket and of a
  topic, and the boundary of a role.
- It stores the DeadLetterConfig of a schedule's and a rule's target, but does not use it.
- It stores permissions, encryption and TLS, and does not enforce them.
"""

import json
import unittest

import environment

if __name__ == "__main__":
    environment.continue_in("aws")

from botocore.exceptions import ClientError

from environment import ROOT
from local_aws import Failure, REGION, wait_for
from stage import BOOTSTRAP, LOCAL_PARAMETERS, PACKAGE_BUCKET, STACK, Stage, Staged

BUS = "alerts"
KEY = f"arn:aws:kms:{REGION}:000000000000:key/11111111-2222-3333-4444-555555555555"
BOUNDARY = "arn:aws:iam::aws:policy/PowerUserAccess"
# No schedule runs meanwhile.
NEVER = 'ScheduleExpression="rate(24 hours)"'
ALL_ON = [
    NEVER, "ModelKey=models/current", "ShadowKey=models/other", "MinDeviation=2.5", "Direction=up",
    'MOfN="2 of 5"',
    "PagesPerInstanceWeek=0.25", "ReportingStopped=on", 'IncludeTags="env=prod,team=web|shop"',
    "ExcludeTags=deepguard=off",
    "MutesKey=settings/team.ics", "Notify=both", "NotifyRecovery=on",
    "NotificationEmail=ops@example.com",
    f"EventBusName={BUS}", "Dashboard=off", "PredictApi=on", "Shards=2", "Tracing=on",
    f"PermissionsBoundaryArn={BOUNDARY}",
    'SubnetIds="subnet-11111111,subnet-22222222"', "SecurityGroupIds=sg-33333333",
    f"KmsKeyArn={KEY}", "CostCenter=4711",
]
WITHOUT_BUS = [NEVER, 'EventBusName=""', "Notify=alarm"]
# One parameter each that CloudFormation has to refuse. The other parameters are given so that it is
# the only fault.
REFUSED = [
    {"SubnetIds": "subnet-11111111"},
    {"SecurityGroupIds": "sg-33333333"},
    {"EventBusName": ""},
    {"EventBusName": "", "Notify": "alarm", "NotifyRecovery": "on"},
    {"MinDeviation": "100.5"},
    {"MOfN": "2/5"},
    {"MOfN": "1 of 25"},
    {"PagesPerInstanceWeek": "0.01"},
    {"PagesPerInstanceWeek": "11"},
    {"IncludeTags": "env=prod,,team=web"},
    {"MutesKey": "settings/mutes.yaml"},
    {"MutesKey": "models/mutes.json"},
    {"ShadowKey": "state/shadow"},
    {"EventBusName": "two words"},
    {"Namespace": "AWS/EC2"},
    {"KmsKeyArn": "alias/aws/s3"},
    {"Notify": "never"},
    {"Shards": "2.5"},
    {"Shards": "101"},
    {"MemorySize": "512.5"},
    {"MemorySize": "127"},
    {"Timeout": "9"},
    {"SettleMinutes": "31"},
]


# The lines of a message after its subject.
LINES = {"DeepGuard Anomaly Began": ("what", "looks_like", "how_unusual", "judged_by", "look_at",
                                     "graph"),
         "DeepGuard Anomaly Ended": ("what", "graph")}


class Deployed:
    """The resources of one deployment, read before the next one changes them."""

    def __init__(self, aws, outputs):
        self.outputs = outputs
        cloudformation = aws.client("cloudformation")
        self.stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackId"]
        listed = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
        self.ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"]
                    for resource in listed}
        functions = aws.client("lambda")
        self.functions = {name: functions.get_function(FunctionName=self.ids[name])
                          for name in ("Detector", "Calibrator", "Predictor") if name in self.ids}
        self.invoke_configs = {name: functions.get_function_event_invoke_config(
            FunctionName=self.ids[name], Qualifier="$LATEST")
                               for name in ("Detector", "Calibrator")}
        self.url = (functions.get_function_url_config(FunctionName=self.ids["Predictor"])
                    if "Predictor" in self.ids else None)
        self.alarms = {alarm["AlarmName"].removeprefix(f"{STACK}-"): alarm
                       for alarm in aws.client("cloudwatch").describe_alarms()["MetricAlarms"]}
        self.dashboards = {found["DashboardName"]: json.loads(
            aws.client("cloudwatch").get_dashboard(
                DashboardName=found["DashboardName"])["DashboardBody"])
            for found in aws.client("cloudwatch").list_dashboards()["DashboardEntries"]}
        self.rules = {name: self.rule(aws, self.ids[name])
                      for name in ("AnomalyRule", "RecoveryRule") if name in self.ids}
        self.topic = aws.client("sns").get_topic_attributes(
            TopicArn=outputs["AlarmTopicArn"])["Attributes"]
        self.subscriptions = aws.client("sns").list_subscriptions_by_topic(
            TopicArn=outputs["AlarmTopicArn"])["Subscriptions"]
        self.queue = aws.client("sqs").get_queue_attributes(
            QueueUrl=outputs["DeadLettersUrl"], AttributeNames=["All"])["Attributes"]
        self.schedules = {name: aws.client("scheduler").get_schedule(Name=self.ids[name])
                          for name in ("DetectorSchedule", "CalibratorSchedule")}
        self.machines = aws.client("stepfunctions").list_state_machines()["stateMachines"]
        self.roles = {name: Role(aws, self.ids[name])
                      for name in ("DetectorRole", "CalibratorRole", "PredictorRole",
                                   "SchedulerRole") if name in self.ids}
        self.lambda_policy = policy_document(aws, self.ids["LambdaPolicy"])
        self.logs = {group["logGroupName"]: group
                     for group in aws.client("logs").describe_log_groups()["logGroups"]}
        processed = cloudformation.get_template(
            StackName=STACK, TemplateStage="Processed")["TemplateBody"]
        self.processed = processed if isinstance(processed, dict) else json.loads(processed)

    @staticmethod
    def rule(aws, name):
        events = aws.client("events")
        # On a bus other than the default one, a rule is known by its bus as well.
        bus, _, name = name.rpartition("|")
        for bus in {bus or "default", BUS}:
            try:
                found = events.describe_rule(Name=name, EventBusName=bus)
            except ClientError:
                continue
            found["Targets"] = events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"]
            return found
        raise Failure(f"There is no rule {name}.")

    def variables(self, function):
        return self.functions[function]["Configuration"]["Environment"]["Variables"]


class Role:
    def __init__(self, aws, name):
        iam = aws.client("iam")
        self.tags = {tag["Key"]: tag["Value"] for tag in iam.list_role_tags(RoleName=name)["Tags"]}
        self.statements = [statement
                           for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
                           for statement in iam.get_role_policy(
                               RoleName=name, PolicyName=policy)["PolicyDocument"]["Statement"]]
        self.attached = [policy["PolicyArn"] for policy in
                         iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]

    def statement(self, sid):
        return next((statement for statement in self.statements if statement.get("Sid") == sid),
                    None)


def policy_document(aws, arn):
    iam = aws.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


class Scene(Stage):
    """Runs the whole scene, once for all tests."""

    def run(self):
        if not BOOTSTRAP.exists():
            raise Failure(f"{BOOTSTRAP} is not there; run `make build`.")
        self.aws.start()
        self.aws.client("s3").create_bucket(Bucket=PACKAGE_BUCKET)
        self.aws.client("events").create_event_bus(Name=BUS)

        outputs = self.deploy(parameters=ALL_ON)
        self.all_on = Deployed(self.aws, outputs)
        inbox = self.listen(outputs["AlarmTopicArn"])
        self.messages = [self.told(inbox, BUS, f"DeepGuard Anomaly {what}")
                         for what in ("Began", "Ended")]
        self.delete()

        outputs = self.deploy(parameters=[NEVER])
        self.by_itself = Deployed(self.aws, outputs)
        self.refused = [(wrong, self.refusal(wrong)) for wrong in REFUSED]
        inbox = self.listen(outputs["AlarmTopicArn"])
        self.messages.append(self.told(inbox, "default", "DeepGuard Anomaly Began"))
        self.dead_letter = self.fail(outputs)

        self.without_bus = Deployed(self.aws, self.deploy(parameters=WITHOUT_BUS))

    def delete(self):
        """Deletes the whole stack, so that the next deployment makes everything anew: an update of
        the local AWS does not change all of it."""
        cloudformation = self.aws.client("cloudformation")
        cloudformation.delete_stack(StackName=STACK)

        def is_gone():
            stacks = cloudformation.list_stacks()["StackSummaries"]
            status = [stack["StackStatus"] for stack in stacks
                      if stack["StackId"] == self.all_on.stack]
            return "DELETE_COMPLETE" in status

        wait_for("the stack to be deleted", is_gone, 60)
        self.left = [bucket["Name"] for bucket in self.aws.client("s3").list_buckets()["Buckets"]]

    def told(self, inbox, bus, kind):
        """The message that an event brings. One of another deployment comes before it."""
        detail = {"deployment": STACK, "instance": "i-0123456789abcdef0",
                  "subject": f"{kind}: i-0123456789abcdef0",
                  "message": {name: f"This is {name}." for name in LINES[kind]}}
        foreign = {**detail, "deployment": f"{STACK}-2", "subject": "of another deployment"}
        answer = self.aws.client("events").put_events(Entries=[
            {"EventBusName": bus, "Source": "deepguard", "DetailType": kind,
             "Detail": json.dumps(entry)} for entry in (foreign, detail)])
        if answer["FailedEntryCount"]:
            raise Failure(f"The event was not taken: {answer}")
        return detail, self.message(inbox, f"the message of {kind}", no_alarm)

    def message(self, queue, what, of):
        """The result of `of` for the first message for which it has a result."""
        sqs = self.aws.client("sqs")

        def find():
            for message in sqs.receive_message(QueueUrl=queue,
                                               MaxNumberOfMessages=10).get("Messages", []):
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                if found := of(json.loads(message["Body"])):
                    return found
            return None

        return wait_for(what, find, 30)

    def fail(self, outputs):
        """Asks for a run that must fail, as a schedule asks."""
        self.aws.client("lambda").invoke(FunctionName=outputs["FunctionName"],
                                         InvocationType="Event",
                                         Payload=json.dumps({"time": "yesterday"}))
        return self.message(outputs["DeadLettersUrl"], "the run that failed", lambda body: body)

    def refusal(self, wrong):
        """The answer of CloudFormation to wrong parameters, or None if it takes them."""
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in wrong.items()]
        given += [{"ParameterKey": key, "ParameterValue": value} for key, value in
                  (parameter.split("=") for parameter in LOCAL_PARAMETERS)]
        try:
            self.aws.client("cloudformation").update_stack(
                StackName=STACK, UsePreviousTemplate=True, Parameters=given,
                Capabilities=["CAPABILITY_IAM"])
        except ClientError as error:
            return error.response["Error"]["Message"]
        return None


def no_alarm(notification):
    """The text of a notification, unless it is an alarm's: new alarms go to OK here, and say so."""
    text = notification["Message"]
    return None if text.startswith("{") else text


class Template(Staged):
    maxDiff = None

    Scene = Scene

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.off, cls.on, cls.quiet = cls.scene.by_itself, cls.scene.all_on, cls.scene.without_bus

    def test_what_there_is_follows_the_conditions(self):
        for name, off, on, quiet in [
            ("AlarmEmail", False, True, False),
            ("AnomalyRule", True, True, False),
            ("CalibratorShards", False, True, False),
            ("ContributorsAlarm", False, False, False),  # LOCAL_PARAMETERS
            ("DetectorShards", False, True, False),
            ("FleetDashboard", True, False, True),
            ("Predictor", False, True, False),
            ("PredictorAlarm", False, True, False),
            ("PredictorLogs", False, True, False),
            ("PredictorRole", False, True, False),
            ("RecoveryRule", False, True, False),
        ]:
            there = tuple(name in deployed.ids for deployed in (self.off, self.on, self.quiet))
            self.assertEqual(there, (off, on, quiet), name)

    def test_the_bucket_stays_when_the_stack_is_deleted(self):
        self.assertIn(self.on.outputs["ModelBucketName"], self.scene.left)
        self.assertNotEqual(self.off.outputs["ModelBucketName"], self.on.outputs["ModelBucketName"])

    def test_wrong_parameters_are_refused_before_anything_is_changed(self):
        taken = [wrong for wrong, refusal in self.scene.refused if refusal is None]
        self.assertEqual(taken, [])
        for wrong, refusal in self.scene.refused:
            words = ["SubnetIds and SecurityGroupIds go together", "Without EventBusName", *wrong]
            self.assertTrue(any(word in refusal for word in words), (wrong, refusal))

    def test_the_settings_arrive_at_the_functions(self):
        bucket = self.off.outputs["ModelBucketName"]
        common = {"NAMESPACE": "DeepGuard", "LOG_LEVEL": "info"}
        calibrator = {**common, "STATE_URI": f"s3://{bucket}/state",
                      "MUTES_URI": f"s3://{bucket}/settings/mutes.json",
                      "INCLUDE_TAGS": "", "EXCLUDE_TAGS": "", "READ_CALLS_PER_SECOND": "25",
                      "READ_DATAPOINTS_PER_SECOND": "180000"}
        detector = {**calibrator, "SHADOW_URI": f"s3://{bucket}/models/shadow",
                    "PUBLISH_MODE": "sparse",
                    "PUBLISH_FROM": "0.8", "LOOKBACK_MINUTES": "180", "SETTLE_MINUTES": "2",
                    "MIN_DEVIATION": "0", "DEPLOYMENT": STACK,
                    "DIRECTION": "both",
                    "M_OF_N": "1 of 1", "PAGES_PER_INSTANCE_WEEK": "", "REPORTING_STOPPED": "off",
                    "EVENT_BUS": "default"}
        self.assertEqual(self.off.variables("Detector"), detector)
        self.assertEqual(self.off.variables("Calibrator"), calibrator)
        # From another bucket: the stack was made anew meanwhile.
        bucket = self.on.outputs["ModelBucketName"]
        common["MODEL_URI"] = f"s3://{bucket}/models/current"
        changed = {"MODEL_URI": common["MODEL_URI"], "STATE_URI": f"s3://{bucket}/state",
                   "MUTES_URI": f"s3://{bucket}/settings/team.ics",
                   "INCLUDE_TAGS": "env=prod,team=web|shop", "EXCLUDE_TAGS": "deepguard=off"}
        self.assertEqual(self.on.variables("Calibrator"), {**calibrator, **changed})
        self.assertEqual(self.on.variables("Detector"), {
            **detector, **changed, "SHADOW_URI": f"s3://{bucket}/models/other",
            "MIN_DEVIATION": "2.5", "DIRECTION": "up",
            "M_OF_N": "2 of 5", "PAGES_PER_INSTANCE_WEEK": "0.25", "REPORTING_STOPPED": "on",
            "EVENT_BUS": BUS})
        self.assertEqual(self.on.variables("Predictor"), common)
        self.assertEqual(self.quiet.variables("Detector")["EVENT_BUS"], "")

    def test_an_event_is_a_message_with_its_own_text(self):
        for detail, message in self.scene.messages:
            lines = [detail["subject"], *detail["message"].values()]
            self.assertEqual(message, "\n".join(f'"{line}"' for line in lines))

    def test_a_rule_listens_for_one_kind_of_event_and_keeps_what_it_cannot_deliver(self):
        self.assertEqual(self.off.rules["AnomalyRule"]["EventBusName"], "default")
        for deployed in (self.off, self.on):
            for name, kind in {"AnomalyRule": "DeepGuard Anomaly Began",
                               "RecoveryRule": "DeepGuard Anomaly Ended"}.items():
                if name not in deployed.rules:
                    continue
                rule = deployed.rules[name]
                self.assertEqual(json.loads(rule["EventPattern"]),
                                 {"source": ["deepguard"], "detail-type": [kind],
                                  "detail": {"deployment": [STACK]}})
                [target] = rule["Targets"]
                self.assertEqual(target["Arn"], deployed.outputs["AlarmTopicArn"])
                self.assertEqual(target["DeadLetterConfig"],
                                 {"Arn": deployed.outputs["DeadLettersArn"]})
        self.assertEqual({rule["EventBusName"] for rule in self.on.rules.values()}, {BUS})

    def test_each_alarm_notifies_but_that_of_the_fleet_only_if_it_shall(self):
        always = {"silence", "errors", "calibrator", "stale", "delivery", "coverage", "throttles",
                  "calibrator-throttles", "dead-letters"}
        for deployed, alarms, anomaly_notifies in [
            (self.off, always, False), (self.on, always | {"predictor"}, True),
            (self.quiet, always, True),
        ]:
            self.assertEqual(set(deployed.alarms), alarms | {"anomaly"})
            topic = [deployed.outputs["AlarmTopicArn"]]
            for name in alarms:
                for actions in ("AlarmActions", "OKActions"):
                    self.assertEqual(deployed.alarms[name][actions], topic, name)
            for actions in ("AlarmActions", "OKActions"):
                self.assertEqual(deployed.alarms["anomaly"].get(actions, []),
                                 topic if anomaly_notifies else [])
        self.assertEqual(self.off.alarms["stale"]["MetricName"], "StaleInputs")
        self.assertEqual(self.off.alarms["dead-letters"]["Dimensions"],
                         [{"Name": "QueueName",
                           "Value": self.off.queue["QueueArn"].rpartition(":")[2]}])
        self.assertEqual(self.off.alarms["errors"]["Namespace"], "AWS/Lambda")
        self.assertEqual(self.on.alarms["errors"]["Namespace"], "AWS/States")

    def test_the_alarm_by_instance_asks_for_each_instance_and_notifies_no_person(self):
        text = (ROOT / "template.yaml").read_text().split(
            "  ContributorsAlarm:\n", 1)[1].split("\n\n", 1)[0]
        self.assertIn('SELECT MAX(AnomalyScore) FROM SCHEMA("${Namespace}", InstanceId) GROUP BY '
                      'InstanceId', text)
        self.assertIn("TreatMissingData: notBreaching", text)
        self.assertNotIn("Actions:", text)

    def test_what_fails_is_kept(self):
        queue = self.off.outputs["DeadLettersArn"]
        for deployed in (self.off, self.on):
            for name, config in deployed.invoke_configs.items():
                self.assertEqual(config["DestinationConfig"]["OnFailure"]["Destination"], queue,
                                 name)
            for name, schedule in deployed.schedules.items():
                self.assertEqual(schedule["Target"]["DeadLetterConfig"]["Arn"], queue, name)
            kept = deployed.roles["SchedulerRole"].statement("KeepWhatCouldNotBeStarted")
            self.assertEqual(kept["Resource"], queue)
        self.assertEqual(self.off.queue["MessageRetentionPeriod"], str(14 * 24 * 3600))
        self.assertEqual(self.scene.dead_letter["requestPayload"], {"time": "yesterday"})
        by_service = {statement["Principal"]["Service"]: statement["Condition"]
                      for statement in json.loads(self.off.queue["Policy"])["Statement"]
                      if statement["Effect"] == "Allow"}
        self.assertEqual(by_service["sns.amazonaws.com"],
                         {"ArnEquals": {"aws:SourceArn": self.off.outputs["AlarmTopicArn"]}})
        self.assertEqual(set(by_service), {"sns.amazonaws.com", "events.amazonaws.com"})

    def test_who_may_publish_to_the_topic(self):
        statements = {statement["Sid"]: statement
                      for statement in json.loads(self.off.topic["Policy"])["Statement"]}
        self.assertEqual(statements["Alarms"]["Principal"], {"Service": "cloudwatch.amazonaws.com"})
        alarms = statements["Alarms"]["Condition"]["ArnLike"]["aws:SourceArn"]
        self.assertTrue(alarms.endswith(f":alarm:{STACK}-*"))
        self.assertEqual(statements["Events"]["Principal"], {"Service": "events.amazonaws.com"})
        self.assertEqual(statements["TlsOnly"]["Effect"], "Deny")
        self.assertEqual(set(statements), {"Alarms", "Events", "TlsOnly"})

    def test_the_detector_may_tell_the_one_bus_and_only_as_itself(self):
        for deployed, bus in [(self.off, "default"), (self.on, BUS)]:
            statement = deployed.roles["DetectorRole"].statement("TellOfAnomalies")
            self.assertEqual(statement["Resource"],
                             f"arn:aws:events:{REGION}:000000000000:event-bus/{bus}")
            self.assertEqual(statement["Condition"],
                             {"StringEquals": {"events:source": "deepguard"}})
        self.assertIsNone(self.quiet.roles["DetectorRole"].statement("TellOfAnomalies"))

    def test_permissions_for_vpc_tracing_and_key_are_there_only_with_them(self):
        optional = {"BeInTheVpc", "Trace", "UseTheKey"}
        for deployed, expected in [(self.off, set()), (self.on, optional), (self.quiet, set())]:
            sids = {statement["Sid"] for statement in deployed.lambda_policy["Statement"]}
            self.assertEqual(sids, {"KeepFailedRuns"} | expected)
            for role in ("DetectorRole", "CalibratorRole"):
                self.assertIn(deployed.ids["LambdaPolicy"], deployed.roles[role].attached)
            self.assertEqual(deployed.roles["SchedulerRole"].statement("UseTheKey") is not None,
                             bool(expected))
        self.assertEqual({statement["Sid"]
                          for statement in self.on.roles["PredictorRole"].statements},
                         {"ReadModels", "TellMissingFromForbidden", "WriteLog"} | optional)
        self.assertEqual(self.on.roles["PredictorRole"].attached, [])

    def test_the_boundary_is_on_all_roles(self):
        boundary = {"Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundaryArn"},
                               {"Ref": "AWS::NoValue"}]}
        roles = {name: resource["Properties"]
                 for name, resource in self.on.processed["Resources"].items()
                 if resource["Type"] == "AWS::IAM::Role"}
        self.assertLessEqual({"DetectorRole", "CalibratorRole", "PredictorRole", "SchedulerRole",
                              "DetectorShardsRole", "CalibratorShardsRole"}, set(roles))
        for name, properties in roles.items():
            self.assertEqual(properties.get("PermissionsBoundary"), boundary, name)

    def test_the_tag_is_on_what_takes_tags(self):
        for name, role in self.on.roles.items():
            self.assertEqual(role.tags.get("CostCenter"), "4711", name)
        for name, role in self.off.roles.items():
            self.assertNotIn("CostCenter", role.tags, name)
        for deployed, expected in [(self.off, ""), (self.on, "4711")]:
            for name, function in deployed.functions.items():
                self.assertEqual(function["Tags"]["CostCenter"], expected, name)

    def test_a_key_encrypts_all_that_is_kept(self):
        bucket = self.on.processed["Resources"]["ModelBucket"]["Properties"]["BucketEncryption"]
        [rule] = bucket["ServerSideEncryptionConfiguration"]
        self.assertEqual(rule["ServerSideEncryptionByDefault"], {"Fn::If": [
            "HasKey", {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}},
            {"SSEAlgorithm": "AES256"}]})
        self.assertEqual(
            self.on.processed["Resources"]["AlarmTopic"]["Properties"]["KmsMasterKeyId"],
                         {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]})
        self.assertEqual(self.off.queue.get("SqsManagedSseEnabled"), "true")
        self.assertEqual(self.on.queue.get("KmsMasterKeyId"), KEY)
        for name in (self.on.outputs[output] for output in
                     ("LogGroupName", "CalibratorLogGroupName", "PredictorLogGroupName")):
            self.assertEqual(self.on.logs[name].get("kmsKeyId"), KEY, name)
        self.assertIsNone(self.off.logs[self.off.outputs["LogGroupName"]].get("kmsKeyId"))

    def test_tracing_reaches_the_functions(self):
        for deployed, mode in [(self.off, "PassThrough"), (self.on, "Active")]:
            for name, function in deployed.functions.items():
                self.assertEqual(function["Configuration"]["TracingConfig"]["Mode"], mode, name)

    def test_network_and_key_of_the_functions_as_cloudformation_is_told(self):
        for name in ("Detector", "Calibrator", "Predictor"):
            properties = self.on.processed["Resources"][name]["Properties"]
            self.assertEqual(properties["VpcConfig"], {"Fn::If": [
                "InVpc", {name: {"Fn::Split": [",", {"Ref": name}]}
                          for name in ("SubnetIds", "SecurityGroupIds")},
                {"Ref": "AWS::NoValue"}]}, name)
            self.assertEqual(properties["KmsKeyArn"],
                             {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]})

    def test_the_predictor_asks_its_callers_who_they_are(self):
        self.assertIsNone(self.off.url)
        self.assertEqual(self.on.url["AuthType"], "AWS_IAM")
        self.assertEqual(self.on.outputs["PredictUrl"], self.on.url["FunctionUrl"])
        self.assertEqual(self.on.functions["Predictor"]["Configuration"]["Handler"], "predictor")

    def test_the_dashboard_shows_the_metrics_that_there_are(self):
        self.assertEqual(set(self.off.dashboards), {f"{STACK}-us-east-1"})
        self.assertEqual(self.on.dashboards, {})
        widgets = self.off.dashboards[f"{STACK}-us-east-1"]["widgets"]
        self.assertIn("Nothing to see?", widgets[0]["properties"]["markdown"])
        [alarms] = [widget["properties"]["alarms"] for widget in widgets
                    if widget["type"] == "alarm"]
        self.assertEqual(sorted(alarms),
                         sorted(alarm["AlarmArn"] for alarm in self.off.alarms.values()))
        shown = {metric[1] for widget in widgets if widget["type"] == "metric"
                 for metric in widget["properties"]["metrics"] if metric[0] == "DeepGuard"}
        self.assertLessEqual({"MaxAnomalyScore", "ShadowMaxAnomalyScore", "AnomalousInstances",
                              "OpenEpisodes",
                              "SuppressedAnomalies", "InstancesScored", "InstancesSkipped",
                              "DataLagSeconds", "ModelAgeDays",
                              "BaselineAgeHours", "PublishFailures", "StaleInputs"}, shown)
        for one in widgets:
            for other in widgets:
                self.assertTrue(one is other or apart(one, other),
                                (one["properties"], other["properties"]))

    def test_with_shards_the_schedules_start_state_machines(self):
        self.assertEqual(self.off.machines, [])
        self.assertEqual(len(self.on.machines), 2)
        for name in ("Detector", "Calibrator"):
            self.assertEqual(self.on.schedules[f"{name}Schedule"]["Target"]["Arn"],
                             self.on.outputs[f"{name}ShardsArn"])
            arn = self.off.functions[name]["Configuration"]["FunctionArn"]
            self.assertEqual(self.off.schedules[f"{name}Schedule"]["Target"]["Arn"], arn)


def apart(one, other):
    """Do two widgets of a dashboard lie beside or above each other?"""
    return (one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
