//! The environment variables, as the documents list them.

/// An environment variable that the detector reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The value if it is unset or empty.
    pub default: &'static str,
    /// A description of it.
    pub meaning: &'static str,
    /// The valid values, in the words that follow "must be".
    pub values: &'static str,
}

pub(super) const MODEL_URI: Variable = Variable {
    name: "MODEL_URI",
    default: "",
    meaning: "the model in S3; empty: the one compiled into the function",
    values: "empty, or s3://bucket/key of a pointer (such as models/current) or of a .safetensors \
             artifact",
};
pub(super) const STATE_URI: Variable = Variable {
    name: "STATE_URI",
    default: "",
    meaning: "where in S3 all is kept that is remembered from run to run; empty: nowhere, each \
              process begins anew",
    values: "empty, or s3://bucket/prefix",
};
pub(super) const PUBLISH_MODE: Variable = Variable {
    name: "PUBLISH_MODE",
    default: "sparse",
    meaning: "which scores of an instance are published: all, or those from PUBLISH_FROM on and \
              half an hour after each",
    values: "sparse or full",
};
pub(super) const PUBLISH_FROM: Variable = Variable {
    name: "PUBLISH_FROM",
    default: "0.8",
    meaning: "the score from which on an instance's scores are published in sparse mode; 1.0 is \
              the threshold",
    values: "0 to 1",
};
pub(super) const BAND_MODE: Variable = Variable {
    name: "BAND_MODE",
    default: "episodes",
    meaning: "when the band of an instance is published (ExpectedCPU, ExpectedLow, ExpectedHigh): \
              while an anomaly lasts and for the six hours before it, always, or never",
    values: "episodes, always or off",
};
pub(super) const READ_CALLS_PER_SECOND: Variable = Variable {
    name: "READ_CALLS_PER_SECOND",
    default: "25",
    meaning: "GetMetricData and ListMetrics calls a second, of all shards together; the account \
              has 50",
    values: "1 to 500",
};
pub(super) const READ_DATAPOINTS_PER_SECOND: Variable = Variable {
    name: "READ_DATAPOINTS_PER_SECOND",
    default: "180000",
    meaning: "datapoints read a second, of all shards together; the account has 396000 where they \
              begin more than three hours ago, as ours do",
    values: "1000 to 10000000",
};
pub(super) const NAMESPACE: Variable = Variable {
    name: "NAMESPACE",
    default: "DeepGuard",
    meaning: "the CloudWatch namespace of the metrics",
    values: "1 to 255 letters, digits or . _ / # : - and not begin with AWS/ or a colon",
};
pub(super) const LOOKBACK_MINUTES: Variable = Variable {
    name: "LOOKBACK_MINUTES",
    default: "180",
    meaning: "how far back the first scores of an instance go, and the answer to a question",
    values: "5 to 180, in steps of 5",
};
pub(super) const DEPLOYMENT: Variable = Variable {
    name: "DEPLOYMENT",
    default: "deepguard",
    meaning: "the name of the deployment (the stack), in each event: rules tell deployments apart \
              by it",
    values: "1 to 128 letters, digits or hyphens",
};
pub(super) const SETTLE_MINUTES: Variable = Variable {
    name: "SETTLE_MINUTES",
    default: "2",
    meaning: "minutes after the end of a datapoint's five at which it is scored: until then \
              CloudWatch may still change its value",
    values: "0 to 30",
};
pub(super) const LOG_LEVEL: Variable = Variable {
    name: "LOG_LEVEL",
    default: "info",
    meaning: "the least severe level that is logged",
    values: "error, warn, info, debug or trace",
};

pub(super) const SHADOW_URI: Variable = Variable {
    name: "SHADOW_URI",
    default: "",
    meaning: "a second model that scores beside, for comparison, and decides nothing; empty, or no \
              such object: no second model",
    values: "empty, or s3://bucket/key of a pointer (such as models/shadow) or of a .safetensors \
             artifact",
};
pub(super) const MIN_DEVIATION: Variable = Variable {
    name: "MIN_DEVIATION",
    default: "0",
    meaning: "a deviation smaller than this is no anomaly, in percentage points of CPU",
    values: "0 to 100",
};
pub(super) const DIRECTION: Variable = Variable {
    name: "DIRECTION",
    default: "both",
    meaning: "which way an anomaly goes: up, down, or both, which includes values that do not \
              change",
    values: "up, down or both",
};
pub(super) const M_OF_N: Variable = Variable {
    name: "M_OF_N",
    default: "1 of 1",
    meaning: "how many of the newest datapoints have to be unusual before an episode begins",
    values: "M of N with 1 <= M <= N <= 24, such as 2 of 3",
};
pub(super) const PAGES_PER_INSTANCE_WEEK: Variable = Variable {
    name: "PAGES_PER_INSTANCE_WEEK",
    default: "",
    meaning: "how often an instance may page for nothing, a week: sets the threshold by the \
              model's own table; empty: the model's threshold",
    values: "empty, or 0.02 to 10",
};
pub(super) const PAGES_PER_WEEK: Variable = Variable {
    name: "PAGES_PER_WEEK",
    default: "2",
    meaning: "how often a week the whole deployment may page for nothing: the page level follows \
              from it; off pages for each anomaly",
    values: "0.1 to 1000, or off",
};
pub(super) const GROUP_BY: Variable = Variable {
    name: "GROUP_BY",
    default: "",
    meaning: "the tag whose value is an instance's group: anomalies that begin together in a group \
              are one incident; empty: no groups",
    values: "empty, or the key of a tag: 1 to 128 characters without , = |",
};
pub(super) const WATCH: Variable = Variable {
    name: "WATCH",
    default: "instances",
    meaning: "what is watched: each instance, each Auto Scaling group as a whole (the mean of its \
              instances), or both",
    values: "instances, groups or both",
};
pub(super) const INCLUDE_TAGS: Variable = Variable {
    name: "INCLUDE_TAGS",
    default: "",
    meaning: "only instances with all of these tags are watched; empty: all",
    values: "empty, or tags such as env=prod,backup; several values of a key with a bar between \
             them",
};
pub(super) const EXCLUDE_TAGS: Variable = Variable {
    name: "EXCLUDE_TAGS",
    default: "",
    meaning: "instances with any of these tags are not watched; empty: no tag excludes",
    values: "empty, or tags such as env=test,aws:autoscaling:groupName; several values of a key \
             with a bar between them",
};
pub(super) const MUTES_URI: Variable = Variable {
    name: "MUTES_URI",
    default: "",
    meaning: "a file that says when which instances are muted; empty, or no such object: never",
    values: "empty, or s3://bucket/key of a .json or .ics object",
};
pub(super) const HOLIDAYS_URI: Variable = Variable {
    name: "HOLIDAYS_URI",
    default: "",
    meaning: "a calendar whose whole days are holidays: such a day is judged like a Sunday, and \
              not learnt as a working day; empty, or no such object: none",
    values: "empty, or s3://bucket/key of an .ics object",
};
pub(super) const REPORTING_STOPPED: Variable = Variable {
    name: "REPORTING_STOPPED",
    default: "off",
    meaning: "whether an instance is an anomaly that stops reporting at an hour at which it should",
    values: "on or off",
};
pub(super) const EVENT_BUS: Variable = Variable {
    name: "EVENT_BUS",
    default: "",
    meaning: "the EventBridge bus that gets an event when an anomaly begins and when it is over; \
              empty: no bus",
    values: "empty, or the name or ARN of a bus",
};

pub(super) const TOPIC: Variable = Variable {
    name: "TOPIC",
    default: "",
    meaning: "the SNS topic that gets a message for people with each event of NOTIFY and \
              NOTIFY_RECOVERY; empty: no topic",
    values: "empty, or the ARN of a topic",
};
pub(super) const CHAT_TOPIC: Variable = Variable {
    name: "CHAT_TOPIC",
    default: "",
    meaning: "the SNS topic that Amazon Q Developer in chat applications reads: it gets each page \
              as a message for Slack or Teams, in one thread an incident; empty: no chat",
    values: "empty, or the ARN of a topic",
};
pub(super) const NOTIFY: Variable = Variable {
    name: "NOTIFY",
    default: "events",
    meaning: "whether the beginning of an anomaly is a message: events and both send one, alarm \
              leaves it to the alarm over the whole fleet",
    values: "events, alarm or both",
};
pub(super) const NOTIFY_RECOVERY: Variable = Variable {
    name: "NOTIFY_RECOVERY",
    default: "off",
    meaning: "whether the end of an anomaly is a message, too",
    values: "on or off",
};

pub(super) const DIGEST: Variable = Variable {
    name: "DIGEST",
    default: "off",
    meaning: "the time of day, in TIME_ZONE, of a message with the day's pages, notices and \
              coverage",
    values: "HH:MM, such as 08:00, or off",
};
pub(super) const DIGEST_QUIET: Variable = Variable {
    name: "DIGEST_QUIET",
    default: "off",
    meaning: "whether a day without anomalies has a digest, too",
    values: "on or off",
};

pub(super) const MODEL_PUBLIC_KEY: Variable = Variable {
    name: "MODEL_PUBLIC_KEY",
    default: "",
    meaning: "the Ed25519 key that a model from S3 has to be signed with; empty: no signature is \
              asked for",
    values: "empty, or the 32 bytes of a public key in base64",
};

pub(super) const TIME_ZONE: Variable = Variable {
    name: "TIME_ZONE",
    default: "UTC",
    meaning: "the time zone of the instances' days and of the times in messages; with UTC, the \
              days move with the clocks of Europe or North America where the instance does; \
              events, metrics and the log stay in UTC",
    values: "the name of a zone in the IANA database, such as Europe/Berlin",
};

/// All variables.
pub const VARIABLES: [Variable; 34] = [
    MODEL_URI,
    MODEL_PUBLIC_KEY,
    SHADOW_URI,
    STATE_URI,
    MUTES_URI,
    HOLIDAYS_URI,
    MIN_DEVIATION,
    DIRECTION,
    M_OF_N,
    PAGES_PER_INSTANCE_WEEK,
    PAGES_PER_WEEK,
    GROUP_BY,
    WATCH,
    INCLUDE_TAGS,
    EXCLUDE_TAGS,
    REPORTING_STOPPED,
    EVENT_BUS,
    TOPIC,
    CHAT_TOPIC,
    NOTIFY,
    NOTIFY_RECOVERY,
    DIGEST,
    DIGEST_QUIET,
    TIME_ZONE,
    DEPLOYMENT,
    NAMESPACE,
    PUBLISH_MODE,
    PUBLISH_FROM,
    BAND_MODE,
    LOOKBACK_MINUTES,
    SETTLE_MINUTES,
    READ_CALLS_PER_SECOND,
    READ_DATAPOINTS_PER_SECOND,
    LOG_LEVEL,
];
