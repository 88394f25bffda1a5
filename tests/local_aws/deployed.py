"""For the tests of deployments: a local AWS without a fleet, the resources of a stack, and the
queues in which its messages and events arrive."""

import json

import measure
from local_aws import Failure, REGION
from stage import BOOTSTRAP, PACKAGE_BUCKET, STACK, Stage

PAUSED = "Schedules=off"  # so that the tests' own invocations are the only ones
TEST = {"test": "alerts"}  # asks the detector for a test of its messages
FUNCTIONS = ("Detector", "Calibrator", "Predictor")


class BareStage(Stage):
    """A scene about the deployments themselves. It needs no replayed fleet."""

    def begin(self):
        if not BOOTSTRAP.exists():
            raise Failure(f"{BOOTSTRAP} is not there; run `make build`.")
        self.aws.start()
        self.aws.client("s3").create_bucket(Bucket=PACKAGE_BUCKET)
        self.say(f"local AWS: MiniStack answers on {self.aws.endpoint}")


class Region:
    """The local AWS in a Region. `LocalAws` itself is in REGION."""

    def __init__(self, aws, name):
        self.aws = aws
        self.name = name

    def client(self, service):
        if self.name == REGION:
            return self.aws.client(service)
        import boto3
        from botocore.config import Config
        return boto3.client(
            service, endpoint_url=self.aws.endpoint, region_name=self.name,
            aws_access_key_id="test", aws_secret_access_key="test",
            config=Config(proxies={}, read_timeout=180, s3={"addressing_style": "path"}))


class Stack:
    """A stack as CloudFormation knows it."""

    def __init__(self, aws, name=STACK):
        cloudformation = aws.client("cloudformation")
        self.name = name
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        self.id = described["StackId"]
        self.outputs = {output["OutputKey"]: output["OutputValue"]
                        for output in described["Outputs"]}
        resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        self.ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"]
                    for resource in resources}
        self.resources = {(resource["ResourceType"], resource["PhysicalResourceId"])
                          for resource in resources}
        processed = cloudformation.get_template(
            StackName=name, TemplateStage="Processed")["TemplateBody"]
        self.processed = processed if isinstance(processed, dict) else json.loads(processed)
        names = self.of_type("AWS::CloudWatch::Alarm")
        self.alarms = {alarm["AlarmName"].removeprefix(f"{name}-"): alarm
                       for alarm in aws.client("cloudwatch").describe_alarms(
                           AlarmNames=names, MaxRecords=100)["MetricAlarms"]}
        functions = aws.client("lambda")
        self.functions = {name: functions.get_function(FunctionName=self.ids[name])
                          for name in FUNCTIONS if name in self.ids}

    def of_type(self, wanted):
        """The names of the resources of a type."""
        return sorted(name for found, name in self.resources if found == wanted)

    def variables(self, function):
        return self.functions[function]["Configuration"]["Environment"]["Variables"]


class Deployed(Stack):
    """All that the tests look at in one deployment, read before the next one changes it."""

    def __init__(self, aws):
        super().__init__(aws)
        functions = aws.client("lambda")
        self.invoke_configs = {name: functions.get_function_event_invoke_config(
            FunctionName=self.ids[name], Qualifier="$LATEST")
                               for name in ("Detector", "Calibrator")}
        self.url = (functions.get_function_url_config(FunctionName=self.ids["Predictor"])
                    if "Predictor" in self.ids else None)
        cloudwatch = aws.client("cloudwatch")
        self.dashboards = {
            found["DashboardName"]: json.loads(cloudwatch.get_dashboard(
                DashboardName=found["DashboardName"])["DashboardBody"])
            for found in cloudwatch.list_dashboards()["DashboardEntries"]}
        self.topic = aws.client("sns").get_topic_attributes(
            TopicArn=self.outputs["AlarmTopicArn"])["Attributes"]
        self.queue = aws.client("sqs").get_queue_attributes(
            QueueUrl=self.outputs["DeadLettersUrl"], AttributeNames=["All"])["Attributes"]
        self.schedules = {name: aws.client("scheduler").get_schedule(Name=self.ids[name])
                          for name in ("DetectorSchedule", "CalibratorSchedule")}
        self.machines = aws.client("stepfunctions").list_state_machines()["stateMachines"]
        self.roles = {name: Role(aws, self.ids[name])
                      for name in ("DetectorRole", "CalibratorRole", "PredictorRole",
                                   "SchedulerRole") if name in self.ids}
        self.shared_policy = statements(policy_document(aws, self.ids["SharedPolicy"]))
        self.logs = {group["logGroupName"]: group
                     for group in aws.client("logs").describe_log_groups()["logGroups"]}
        bucket = self.outputs["ModelBucketName"]
        self.bucket_policy = statements(aws.client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
        self.changes = aws.client("s3").get_bucket_notification_configuration(
            Bucket=bucket).get("TopicConfigurations", [])

    def properties(self, resource):
        """The properties of a resource as CloudFormation got them, with its conditions."""
        return self.processed["Resources"][resource]["Properties"]


class Role:
    def __init__(self, aws, name):
        iam = aws.client("iam")
        self.tags = {tag["Key"]: tag["Value"] for tag in iam.list_role_tags(RoleName=name)["Tags"]}
        self.statements = {}
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            found = iam.get_role_policy(RoleName=name, PolicyName=policy)
            self.statements.update(statements(found["PolicyDocument"]))
        self.attached = [policy["PolicyArn"] for policy in
                         iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]


def policy_document(aws, arn):
    iam = aws.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def statements(policy):
    """{Sid: statement} of a policy, which is text or a dict."""
    document = json.loads(policy) if isinstance(policy, str) else policy
    return {statement.get("Sid", ""): statement for statement in document["Statement"]}


class Queue:
    """A queue, and all that has arrived in it."""

    def __init__(self, aws, name):
        self.aws = aws
        self.sqs = aws.client("sqs")
        self.url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.arn = self.sqs.get_queue_attributes(
            QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.arrived = []

    def subscribe(self, topic):
        """Gets the messages of a topic from now on, as a pager or a chat would."""
        self.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=self.arn)
        return self

    def follow(self, bus, name):
        """Gets every event of DeepGuard on a bus from now on, by a rule of our own."""
        events = self.aws.client("events")
        events.put_rule(Name=name, EventBusName=bus,
                        EventPattern=json.dumps({"source": ["deepguard"]}))
        events.put_targets(Rule=name, EventBusName=bus,
                           Targets=[{"Id": "queue", "Arn": self.arn}])
        return self

    def all(self):
        while messages := self.sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                self.arrived.append(json.loads(message["Body"]))
        return self.arrived

    def alerts(self):
        """The messages of the detector. Alarms and S3 write theirs in JSON."""
        return [told for told in self.all() if not told["Message"].startswith("{")]

    def changes(self):
        """(event, key) of each message of S3 about an object."""
        records = [record for told in self.all() if told["Message"].startswith("{")
                   for record in json.loads(told["Message"]).get("Records", [])]
        return sorted((record["eventName"], record["s3"]["object"]["key"]) for record in records)


def attributes(notification):
    """The attributes of a message, without their types."""
    return {name: attribute["Value"]
            for name, attribute in notification["MessageAttributes"].items()}


def ask_for_test(aws, function):
    """The answer of the detector to the event that asks for a test of its messages."""
    answer, error, _ = measure.invoke(aws, function, TEST)
    if error:
        raise Failure(f"{function} failed: {json.dumps(answer)}")
    return answer
