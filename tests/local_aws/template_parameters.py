"""The parameters with which test_template.py deploys, and those that are refused."""

from deployed import PAUSED
from local_aws import REGION

BUS = "alerts"
KEY = f"arn:aws:kms:{REGION}:000000000000:key/11111111-2222-3333-4444-555555555555"
BOUNDARY = "arn:aws:iam::aws:policy/PowerUserAccess"
# The first key of RFC 8032's test vectors: the functions refuse what is no key.
PUBLIC_KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
CHAT = f"arn:aws:sns:{REGION}:000000000000:team-chat"
WRITERS = ["arn:aws:iam::000000000000:role/deploy", "arn:aws:iam::000000000000:user/ops-*"]
ALL_ON = [
    # The schedules are on. This deployment is gone before they fire for the first time.
    'ScheduleExpression="rate(5 minutes)"', "ModelKey=models/current", "ShadowKey=models/other",
    "MinDeviation=2.5", "Direction=up", 'MOfN="2 of 5"', "PagesPerInstanceWeek=0.25",
    "PagesPerWeek=0.5", "GroupBy=team", "Watch=both", "Digest=07:30", "DigestQuiet=on",
    "ReportingStopped=on",
    'IncludeTags="env=prod,team=web|shop"', "ExcludeTags=deepguard=off", "Dashboard=off",
    "MutesKey=settings/team.ics", "HolidaysKey=settings/de.ics",
    "Notify=both", "NotifyRecovery=on", "TimeZone=Europe/Berlin",
    "NotifyChanges=on", "NotifySuppressed=on", "NotificationEmail=ops@example.com",
    f"EventBusName={BUS}", f"ChatTopic={CHAT}",
    # MiniStack has no custom actions of a chat.
    "ChatButton=off", "BandMode=always", "PredictApi=on",
    "PredictorConcurrency=5", "Shards=2", "Tracing=on",
    f"PermissionsBoundaryArn={BOUNDARY}", 'SubnetIds="subnet-11111111,subnet-22222222"',
    "SecurityGroupIds=sg-33333333", f"KmsKeyArn={KEY}", f'Writers="{",".join(WRITERS)}"',
    f'ModelPublicKey="{PUBLIC_KEY}"', "CostCenter=4711",
]
WITHOUT_BUS = [PAUSED, 'EventBusName=""', "Notify=alarm"]
# One parameter each that CloudFormation has to refuse. The other parameters are given so that it is
# the only fault.
REFUSED = [
    {"SubnetIds": "subnet-11111111"},
    {"SecurityGroupIds": "sg-33333333"},
    {"MinDeviation": "100.5"},
    {"MOfN": "2/5"},
    {"MOfN": "1 of 25"},
    {"PagesPerInstanceWeek": "0.01"},
    {"PagesPerWeek": "0"},
    {"PagesPerWeek": "1001"},
    {"GroupBy": "team=web"},
    {"Watch": "group"},
    {"Digest": "24:00"},
    {"PagesPerInstanceWeek": "11"},
    {"IncludeTags": "env=prod,,team=web"},
    {"MutesKey": "settings/mutes.yaml"},
    {"MutesKey": "models/mutes.json"},
    {"HolidaysKey": "settings/holidays.json"},
    {"HolidaysKey": "models/holidays.ics"},
    {"ShadowKey": "state/shadow"},
    {"EventBusName": "two words"},
    {"ChatTopic": "arn:aws:sqs:us-east-1:000000000000:team-chat"},
    {"Namespace": "AWS/EC2"},
    {"KmsKeyArn": "alias/aws/s3"},
    {"Notify": "never"},
    {"BandMode": "never"},
    {"Shards": "2.5"},
    {"Shards": "101"},
    {"MemorySize": "512.5"},
    {"MemorySize": "127"},
    {"Timeout": "9"},
    {"SettleMinutes": "31"},
    {"ScheduleExpression": "rate(24 hours)"},
    {"ScheduleExpression": "rate(10 minutes)"},
    {"ScheduleExpression": "cron(30/5 * * * ? *)"},
    {"TimeZone": "two words"},
    {"ScheduleExpression": "cron(0 8 * * ? *)"},
    {"Schedules": "maybe"},
    {"NotifyChanges": "always"},
    {"NotifySuppressed": "always"},
    {"PredictorConcurrency": "0"},
    {"PredictorConcurrency": "2.5"},
    {"Writers": "me"},
    {"ModelPublicKey": "abc"},
]
