"""The template on a local AWS with each of its conditions on and off, in three deployments: with
everything on, then anew as it is by itself, then without an event bus. The tests look at the
resources through each service's own API. test_template_messages.py looks at what they send.

MiniStack is not AWS. The tests look for the parts that it drops in the template as CloudFormation
got it (Processed):
- It makes no alarm on a Metrics Insights query. So ContributorAlarm is off here, and a test reads
  the alarm only as text.
- Its CloudFormation drops VpcConfig, KmsKeyArn and the reserved concurrency of a function, the key
  of a bucket and of a topic, and the boundary of a role.
- It stores the DeadLetterConfig of a schedule's target, but does not use it.
- It stores permissions, encryption and TLS, and does not enforce them. S3 asks no policy of the
  topic before it takes a bucket's notifications.
"""

import unittest

import environment

if __name__ == "__main__":
    environment.continue_in("aws")

from botocore.exceptions import ClientError

from deployed import FUNCTIONS, PAUSED, BareStage, Deployed, statements
from environment import ROOT
from local_aws import REGION, wait_for
from stage import LOCAL_PARAMETERS, STACK, Staged
from template_parameters import (ALL_ON, BUS, CHAT, KEY, PUBLIC_KEY, REFUSED, WITHOUT_BUS,
                                 WRITERS)


class Scene(BareStage):
    """Runs the whole scene, once for all tests."""

    def run(self):
        self.begin()
        self.aws.client("events").create_event_bus(Name=BUS)
        self.deploy(parameters=ALL_ON)
        self.all_on = Deployed(self.aws)
        self.delete()
        self.deploy(parameters=[PAUSED])
        self.by_itself = Deployed(self.aws)
        self.refused = [(wrong, self.refusal(wrong)) for wrong in REFUSED]
        self.deploy(parameters=WITHOUT_BUS)
        self.without_bus = Deployed(self.aws)

    def delete(self):
        """Deletes the whole stack, so that the next deployment makes everything anew: an update of
        the local AWS does not change all of it."""
        cloudformation = self.aws.client("cloudformation")
        cloudformation.delete_stack(StackName=STACK)

        def is_gone():
            stacks = cloudformation.list_stacks()["StackSummaries"]
            status = [stack["StackStatus"] for stack in stacks
                      if stack["StackId"] == self.all_on.id]
            return "DELETE_COMPLETE" in status

        wait_for("the stack to be deleted", is_gone, 60)
        self.left = [bucket["Name"] for bucket in self.aws.client("s3").list_buckets()["Buckets"]]

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
            ("CalibratorShards", False, True, False),
            ("ContributorsAlarm", False, False, False),  # LOCAL_PARAMETERS
            ("DetectorShards", False, True, False),
            ("FleetDashboard", True, False, True),
            ("Predictor", False, True, False),
            ("PredictorAlarm", False, True, False),
            ("PredictorLogs", False, True, False),
            ("PredictorRole", False, True, False),
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
            words = ["SubnetIds and SecurityGroupIds go together", *wrong]
            self.assertTrue(any(word in refusal for word in words), (wrong, refusal))

    def test_the_settings_arrive_at_the_functions(self):
        bucket = self.off.outputs["ModelBucketName"]
        common = {"NAMESPACE": "DeepGuard", "LOG_LEVEL": "info", "MODEL_PUBLIC_KEY": ""}
        calibrator = {**common, "STATE_URI": f"s3://{bucket}/state",
                      "MUTES_URI": f"s3://{bucket}/settings/mutes.json",
                      "HOLIDAYS_URI": f"s3://{bucket}/settings/holidays.ics",
                      "INCLUDE_TAGS": "", "EXCLUDE_TAGS": "", "READ_CALLS_PER_SECOND": "25",
                      "GROUP_BY": "aws:autoscaling:groupName", "TIME_ZONE": "UTC",
                      "WATCH": "instances",
                      "READ_DATAPOINTS_PER_SECOND": "180000"}
        detector = {**calibrator, "SHADOW_URI": f"s3://{bucket}/models/shadow",
                    "PUBLISH_MODE": "sparse", "PUBLISH_FROM": "0.8", "BAND_MODE": "episodes",
                    "LOOKBACK_MINUTES": "180", "SETTLE_MINUTES": "2", "MIN_DEVIATION": "0",
                    "DEPLOYMENT": STACK, "DIRECTION": "both", "M_OF_N": "1 of 1",
                    "PAGES_PER_INSTANCE_WEEK": "", "REPORTING_STOPPED": "off",
                    "PAGES_PER_WEEK": "2", "GROUP_BY": "aws:autoscaling:groupName",
                    "EVENT_BUS": "default", "TOPIC": self.off.outputs["AlarmTopicArn"],
                    "CHAT_TOPIC": "", "NOTIFY": "events", "NOTIFY_RECOVERY": "off",
                    "TIME_ZONE": "UTC", "DIGEST": "08:00", "DIGEST_QUIET": "off"}
        self.assertEqual(self.off.variables("Detector"), detector)
        self.assertEqual(self.off.variables("Calibrator"), calibrator)
        # From another bucket: the stack was made anew meanwhile.
        bucket = self.on.outputs["ModelBucketName"]
        signed = {"MODEL_URI": f"s3://{bucket}/models/current", "MODEL_PUBLIC_KEY": PUBLIC_KEY}
        changed = {**signed, "STATE_URI": f"s3://{bucket}/state",
                   "MUTES_URI": f"s3://{bucket}/settings/team.ics",
                   "HOLIDAYS_URI": f"s3://{bucket}/settings/de.ics",
                   "INCLUDE_TAGS": "env=prod,team=web|shop", "EXCLUDE_TAGS": "deepguard=off",
                   "GROUP_BY": "team", "WATCH": "both", "TIME_ZONE": "Europe/Berlin"}
        self.assertEqual(self.on.variables("Calibrator"), {**calibrator, **changed})
        self.assertEqual(self.on.variables("Detector"), {
            **detector, **changed, "SHADOW_URI": f"s3://{bucket}/models/other",
            "MIN_DEVIATION": "2.5", "DIRECTION": "up",
            "M_OF_N": "2 of 5", "PAGES_PER_INSTANCE_WEEK": "0.25", "REPORTING_STOPPED": "on",
            "PAGES_PER_WEEK": "0.5", "BAND_MODE": "always", "CHAT_TOPIC": CHAT,
            "EVENT_BUS": BUS, "TOPIC": self.on.outputs["AlarmTopicArn"], "NOTIFY": "both",
            "NOTIFY_RECOVERY": "on", "TIME_ZONE": "Europe/Berlin",
            "DIGEST": "07:30", "DIGEST_QUIET": "on"})
        self.assertEqual(self.on.variables("Predictor"), {**common, **signed})
        quiet = self.quiet.variables("Detector")
        self.assertEqual((quiet["EVENT_BUS"], quiet["NOTIFY"]), ("", "alarm"))

    def test_each_alarm_notifies_but_two_do_so_only_if_they_shall(self):
        always = {"silence", "errors", "calibrator", "stale", "delivery", "coverage", "throttles",
                  "calibrator-throttles", "dead-letters"}
        for deployed, notifying, others in [
            (self.off, always, {"anomaly", "suppressed"}),
            (self.on, always | {"predictor", "anomaly", "suppressed"}, set()),
            (self.quiet, always | {"anomaly"}, {"suppressed"}),
        ]:
            self.assertEqual(set(deployed.alarms), notifying | others)
            topic = [deployed.outputs["AlarmTopicArn"]]
            for name, alarm in deployed.alarms.items():
                for actions in ("AlarmActions", "OKActions"):
                    self.assertEqual(alarm.get(actions, []), topic if name in notifying else [],
                                     (name, actions))
        self.assertEqual(self.off.alarms["suppressed"]["MetricName"], "SuppressedAnomalies")
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

    def test_only_what_no_later_run_makes_up_for_is_a_dead_letter(self):
        for deployed in (self.off, self.on):
            queue = deployed.outputs["DeadLettersArn"]
            for name, config in deployed.invoke_configs.items():
                destinations = config.get("DestinationConfig", {})
                self.assertFalse(any(destinations.values()), (name, destinations))
            for name, schedule in deployed.schedules.items():
                self.assertEqual(schedule["Target"]["DeadLetterConfig"]["Arn"], queue, name)
            kept = deployed.roles["SchedulerRole"].statements["KeepWhatCouldNotBeStarted"]
            self.assertEqual(kept["Resource"], queue)
            policy = statements(deployed.queue["Policy"])
            self.assertEqual(set(policy), {"UndeliveredNotifications", "TlsOnly"})
            self.assertEqual(policy["TlsOnly"]["Effect"], "Deny")
            undelivered = policy["UndeliveredNotifications"]
            self.assertEqual(undelivered["Principal"], {"Service": "sns.amazonaws.com"})
            self.assertEqual(undelivered["Condition"], {
                "ArnEquals": {"aws:SourceArn": deployed.outputs["AlarmTopicArn"]}})
            self.assertEqual(deployed.queue["MessageRetentionPeriod"], str(14 * 24 * 3600))

    def test_who_may_publish_to_the_topic(self):
        for deployed, more in [(self.off, set()), (self.on, {"Changes"})]:
            policy = statements(deployed.topic["Policy"])
            self.assertEqual(set(policy), {"Alarms", "TlsOnly"} | more)
            self.assertEqual(policy["Alarms"]["Principal"],
                             {"Service": "cloudwatch.amazonaws.com"})
            alarms = policy["Alarms"]["Condition"]["ArnLike"]["aws:SourceArn"]
            self.assertTrue(alarms.endswith(f":alarm:{STACK}-*"))
            self.assertEqual(policy["TlsOnly"]["Effect"], "Deny")
            topic = deployed.outputs["AlarmTopicArn"]
            self.assertEqual(deployed.roles["DetectorRole"].statements["NotifyPeople"],
                             {"Sid": "NotifyPeople", "Effect": "Allow", "Action": "sns:Publish",
                              "Resource": topic})
        self.assertNotIn("NotifyTheChat", self.off.roles["DetectorRole"].statements)
        chat = self.on.roles["DetectorRole"].statements["NotifyTheChat"]
        self.assertEqual((chat["Action"], chat["Resource"]), ("sns:Publish", CHAT))
        changes = statements(self.on.topic["Policy"])["Changes"]
        self.assertEqual(changes["Principal"], {"Service": "s3.amazonaws.com"})
        self.assertEqual(changes["Condition"],
                         {"StringEquals": {"aws:SourceAccount": "000000000000"}})

    def test_the_bucket_tells_of_changes_if_it_shall(self):
        self.assertEqual(self.off.changes, [])
        told = {(event, rule["Value"]) for change in self.on.changes
                for event in change["Events"] for rule in change["Filter"]["Key"]["FilterRules"]}
        self.assertEqual(told, {(f"s3:Object{what}:*", prefix) for what in ("Created", "Removed")
                                for prefix in ("models/", "settings/")})
        self.assertEqual({change["TopicArn"] for change in self.on.changes},
                         {self.on.outputs["AlarmTopicArn"]})
        # In AWS, S3 refuses a topic that does not let it publish yet.
        bucket = self.on.processed["Resources"]["ModelBucket"]
        self.assertIn("AlarmTopicPolicy", bucket["DependsOn"])

    def test_only_the_writers_may_change_models_and_settings(self):
        self.assertEqual(set(self.off.bucket_policy), {"TlsOnly"})
        self.assertEqual(set(self.on.bucket_policy),
                         {"TlsOnly", "OnlyWriters", "OnlyFunctionsAndWriters"})
        bucket = f"arn:aws:s3:::{self.on.outputs['ModelBucketName']}"
        self.assertEqual(self.on.bucket_policy["OnlyWriters"], {
            "Sid": "OnlyWriters", "Effect": "Deny", "Principal": "*",
            "Action": ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"],
            "Resource": [f"{bucket}/models/*", f"{bucket}/settings/*"],
            "Condition": {"ArnNotLike": {"aws:PrincipalArn": WRITERS}}})
        state = self.on.bucket_policy["OnlyFunctionsAndWriters"]
        self.assertEqual((state["Effect"], state["Resource"]), ("Deny", f"{bucket}/state/*"))
        roles = [f"arn:aws:iam::000000000000:role/{self.on.ids[name]}"
                 for name in ("DetectorRole", "CalibratorRole")]
        self.assertEqual(state["Condition"],
                         {"ArnNotLike": {"aws:PrincipalArn": [*roles, *WRITERS]}})

    def test_the_schedules_run_or_are_paused(self):
        for deployed, state, expression in [(self.off, "DISABLED", "cron(3/5 * * * ? *)"),
                                            (self.on, "ENABLED", "rate(5 minutes)")]:
            for name, schedule in deployed.schedules.items():
                self.assertEqual(schedule["State"], state, name)
            self.assertEqual(deployed.schedules["DetectorSchedule"]["ScheduleExpression"],
                             expression)

    def test_the_detector_may_tell_the_one_bus_and_only_as_itself(self):
        for deployed, bus in [(self.off, "default"), (self.on, BUS)]:
            statement = deployed.roles["DetectorRole"].statements["TellOfAnomalies"]
            self.assertEqual(statement["Resource"],
                             f"arn:aws:events:{REGION}:000000000000:event-bus/{bus}")
            self.assertEqual(statement["Condition"],
                             {"StringEquals": {"events:source": "deepguard"}})
        self.assertNotIn("TellOfAnomalies", self.quiet.roles["DetectorRole"].statements)

    def test_permissions_for_vpc_tracing_and_key_are_there_only_with_them(self):
        optional = {"BeInTheVpc", "Trace", "UseTheKey"}
        always = {"ReadMetrics", "ReadTags", "ReadModels", "ReadSettings", "KeepBaselines",
                  "ListAndTellMissingFromForbidden"}
        for deployed, more in [(self.off, set()), (self.on, optional), (self.quiet, set())]:
            self.assertEqual(set(deployed.shared_policy), always | more)
            for role in ("DetectorRole", "CalibratorRole"):
                self.assertEqual(deployed.roles[role].attached, [deployed.ids["SharedPolicy"]])
        predictor = self.on.roles["PredictorRole"]
        self.assertEqual(set(predictor.statements),
                         {"ReadModels", "TellMissingFromForbidden", "WriteLog"} | optional)
        self.assertEqual(predictor.attached, [])
        for policy, services in [(self.on.shared_policy, ["s3", "lambda"]),
                                 (predictor.statements, ["s3", "lambda"])]:
            self.assertEqual(policy["UseTheKey"]["Resource"], KEY)
            self.assertEqual(policy["UseTheKey"]["Condition"], {"StringEquals": {
                "kms:ViaService": [f"{name}.{REGION}.amazonaws.com" for name in services]}})
        topic = self.on.roles["DetectorRole"].statements["UseTheKeyOfTheTopic"]
        self.assertEqual(topic["Condition"], {"StringEquals": {
            "kms:ViaService": f"sns.{REGION}.amazonaws.com"}})
        # The schedules have the dead-letter queue, and that is not encrypted with the key.
        self.assertNotIn("UseTheKey", self.on.roles["SchedulerRole"].statements)

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

    def test_a_key_encrypts_all_that_is_kept_but_the_dead_letters(self):
        [rule] = self.on.properties("ModelBucket")["BucketEncryption"][
            "ServerSideEncryptionConfiguration"]
        self.assertEqual(rule["ServerSideEncryptionByDefault"], {"Fn::If": [
            "HasKey", {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}},
            {"SSEAlgorithm": "AES256"}]})
        self.assertEqual(self.on.properties("AlarmTopic")["KmsMasterKeyId"],
                         {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]})
        for deployed in (self.off, self.on):
            self.assertEqual(deployed.queue.get("SqsManagedSseEnabled"), "true")
            self.assertNotIn("KmsMasterKeyId", deployed.queue)
        for name in (self.on.outputs[output] for output in
                     ("LogGroupName", "CalibratorLogGroupName", "PredictorLogGroupName")):
            self.assertEqual(self.on.logs[name].get("kmsKeyId"), KEY, name)
        self.assertIsNone(self.off.logs[self.off.outputs["LogGroupName"]].get("kmsKeyId"))

    def test_tracing_reaches_the_functions(self):
        for deployed, mode in [(self.off, "PassThrough"), (self.on, "Active")]:
            for name, function in deployed.functions.items():
                self.assertEqual(function["Configuration"]["TracingConfig"]["Mode"], mode, name)

    def test_network_and_key_of_the_functions_as_cloudformation_is_told(self):
        for name in FUNCTIONS:
            properties = self.on.properties(name)
            self.assertEqual(properties["VpcConfig"], {"Fn::If": [
                "InVpc", {name: {"Fn::Split": [",", {"Ref": name}]}
                          for name in ("SubnetIds", "SecurityGroupIds")},
                {"Ref": "AWS::NoValue"}]}, name)
            self.assertEqual(properties["KmsKeyArn"],
                             {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]})

    def test_only_the_predictor_reserves_concurrency_and_only_if_it_shall(self):
        self.assertEqual(self.on.properties("Predictor")["ReservedConcurrentExecutions"], {
            "Fn::If": ["HasPredictorConcurrency", {"Ref": "PredictorConcurrency"},
                       {"Ref": "AWS::NoValue"}]})
        self.assertEqual(self.on.processed["Conditions"]["HasPredictorConcurrency"],
                         {"Fn::Not": [{"Fn::Equals": [{"Ref": "PredictorConcurrency"}, ""]}]})
        for name in ("Detector", "Calibrator"):
            self.assertNotIn("ReservedConcurrentExecutions", self.on.properties(name))

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
