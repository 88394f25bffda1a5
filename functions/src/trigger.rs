//! The event that invoked the function: from a schedule, or a direct question.

pub mod label;
pub mod shard;

use std::collections::BTreeSet;
use std::ops::Range;

use deepguard::series::{PERIOD, slot_start};
use deepguard::track::LATE;
use deepguard_aws::cloudwatch::limits;
use deepguard_aws::ids::{NotATarget, TargetId};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::trigger::shard::{MAX_SHARDS, Shard};

/// The maximum number of instances in an event: with more, it would no longer be a question about
/// some of them.
pub const MAX_INSTANCES: usize = 500;
/// How far ahead of this machine's clock an event's time may be: clocks differ.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How long a run may take from its first look at the clock to its last call: Lambda's longest
/// timeout.
const LONGEST_RUN: SignedDuration = SignedDuration::from_mins(15);
/// The supported shapes, for the error about another one.
const SHAPES: &str = concat!(
    r#"send {}, {"shard": 0, "shards": 4} or {"time": "2026-01-15T12:00:00Z", "#,
    r#""instances": ["i-0123456789abcdef0"], "dry_run": true} (all of them optional), "#,
    r#"{"test": "alerts"}, a label of an incident as its message has it, "#,
    "or let an EventBridge rule or schedule send its own event"
);

/// The request to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The time to look back from; `None` is now.
    pub time: Option<Timestamp>,
    /// The instances to score, at least one; `None` is every one that is running.
    pub instances: Option<BTreeSet<TargetId>>,
    /// Whether to publish nothing.
    pub dry_run: bool,
    /// The part of the fleet.
    pub shard: Shard,
    /// Whether the run follows the fleet instead of answering a question: it comes from a schedule,
    /// or names its shard.
    pub scheduled: bool,
}

/// An event that the detector cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// An unknown shape.
    #[error("the event is not understood: {0}; {SHAPES}")]
    Shape(String),
    /// An event from another source than a schedule.
    #[error("the event `{detail_type}` of `{sender}` starts no run: {SHAPES}")]
    Foreign {
        /// Its `source`, such as `aws.ec2`.
        sender: String,
        /// Its `detail-type`.
        detail_type: String,
    },
    /// Not the name of an instance.
    #[error("the event's `instances`: {0}")]
    Instance(#[from] NotATarget),
    /// Not the id of an incident.
    #[error(
        "the label's incident `{0}` is no id of one: give the one that its message and its events \
         have, such as i-0123456789abcdef0-1768478400"
    )]
    Incident(String),
    /// Too many instances, or an empty list.
    #[error(
        "the event names {0} instances, 1 to {MAX_INSTANCES} can be asked for; leave `instances` \
         out to score every one"
    )]
    Instances(usize),
    /// A part of a fleet that cannot exist.
    #[error(
        "the event's shard {shard} of {shards} does not exist: give 1 to {MAX_SHARDS} `shards` and \
         a `shard` from 0 to one less, or neither for the whole fleet"
    )]
    Shard {
        /// The part's number.
        shard: u32,
        /// The number of parts.
        shards: u32,
    },
    /// There can be no datapoints yet.
    #[error(
        "the event's time {time} is in the future (it is {now}): give an earlier one, or leave it \
         out to score up to now"
    )]
    Future {
        /// The event's time.
        time: Timestamp,
        /// The clock's time.
        now: Timestamp,
    },
    /// CloudWatch would refuse the scores.
    #[error(
        "the event's time {time} is too long ago: CloudWatch takes no metrics older than two \
         weeks. Give a later one, leave it out to score up to now, or set \"dry_run\": true, which \
         publishes nothing"
    )]
    Past {
        /// The event's time.
        time: Timestamp,
    },
}

/// The fields of a direct question, and of a schedule's `Input`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Direct {
    time: Option<Value>,
    instances: Option<Vec<String>>,
    #[serde(default)]
    dry_run: bool,
    shard: Option<u32>,
    shards: Option<u32>,
}

/// The event that EventBridge sends when a schedule has no `Input` of its own. Both kinds have an
/// empty `detail`: a rule `{}`, Scheduler the text `"{}"`.
#[derive(Debug, Deserialize)]
struct Scheduled {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    #[serde(default)]
    detail: Value,
}

/// Whether a person asks for a test of the alerts: the event is `{"test": "alerts"}`.
pub fn is_test(event: &Value) -> bool {
    *event == serde_json::json!({ "test": "alerts" })
}

impl Trigger {
    /// Parses an event.
    ///
    /// # Errors
    /// [`EventError`] describes the fault and the supported shapes.
    pub fn from_event(event: &Value) -> Result<Self, EventError> {
        let shape = |error: serde_json::Error| EventError::Shape(error.to_string());
        if !event.is_object() {
            return Err(EventError::Shape("it is no JSON object".into()));
        }
        if event.get("source").is_some() || event.get("detail-type").is_some() {
            let Scheduled { source, detail_type, detail } =
                Scheduled::deserialize(event).map_err(shape)?;
            if !matches!(source.as_str(), "aws.events" | "aws.scheduler")
                || detail_type != "Scheduled Event"
            {
                return Err(EventError::Foreign { sender: source, detail_type });
            }
            let empty = match &detail {
                Value::Null => true,
                Value::String(text) => matches!(text.trim(), "" | "{}"),
                Value::Object(fields) => fields.is_empty(),
                _ => false,
            };
            if !empty {
                return Err(EventError::Shape("a scheduled event has nothing in `detail`".into()));
            }
            let time = event
                .get("time")
                .ok_or_else(|| EventError::Shape("a scheduled event has a `time`".into()))?;
            // Its own time, not the clock's: a retry must score the same datapoints.
            return Ok(Self {
                time: Some(timestamp(time)?),
                instances: None,
                dry_run: false,
                shard: Shard::WHOLE,
                scheduled: true,
            });
        }
        let Direct { time, instances, dry_run, shard, shards } =
            Direct::deserialize(event).map_err(shape)?;
        let scheduled = shard.is_some();
        let (shard, shards) = (shard.unwrap_or(0), shards.unwrap_or(1));
        let shard = Shard::new(shard, shards).ok_or(EventError::Shard { shard, shards })?;
        let instances = instances.map(|names| {
            let instances =
                names.iter().map(|name| name.parse()).collect::<Result<BTreeSet<_>, _>>()?;
            match instances.len() {
                1..=MAX_INSTANCES => Ok(instances),
                _ => Err(EventError::Instances(instances.len())),
            }
        });
        let time = time.as_ref().map(timestamp).transpose()?;
        Ok(Self { time, instances: instances.transpose()?, dry_run, shard, scheduled })
    }

    /// Whether the request, at the time `now`, is a question about the scores up to `end` (seconds
    /// since 1970). A run that goes on from the last one is not a question.
    pub fn is_question(&self, end: i64, now: Timestamp) -> bool {
        let long_ago = end < now.as_second() - LATE;
        self.dry_run || self.instances.is_some() || (long_ago && !self.scheduled)
    }

    /// The stretch to score, in seconds since 1970: the `lookback_minutes` up to the event's time,
    /// or up to `now` without one, in whole slots. A slot is settled, and may be scored, `settle`
    /// seconds after its end: until then, its value may still change.
    ///
    /// # Errors
    /// [`EventError::Future`] and [`EventError::Past`].
    pub fn times(
        &self,
        now: Timestamp,
        lookback_minutes: i64,
        settle: i64,
    ) -> Result<Range<i64>, EventError> {
        let time = self.time.unwrap_or(now);
        let end = slot_start(time.as_second().min(now.as_second() - settle));
        let times = end - slot_start(lookback_minutes * 60).max(PERIOD)..end;
        if time.duration_since(now) > CLOCK_SKEW {
            return Err(EventError::Future { time, now });
        }
        let oldest = now.as_second() - (limits::PUBLISHABLE_PAST - LONGEST_RUN).as_secs();
        if times.start < oldest && !self.dry_run {
            return Err(EventError::Past { time });
        }
        Ok(times)
    }
}

/// The `time` of an event.
fn timestamp(value: &Value) -> Result<Timestamp, EventError> {
    let parsed = value.as_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| {
        EventError::Shape(format!("`time` is {value}, not a time such as \"2026-01-15T12:00:00Z\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn ids(names: &[&str]) -> Option<BTreeSet<TargetId>> {
        Some(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn what_is_understood() {
        let (a, b) = ("i-0123456789abcdef0", "i-1a2b3c4d");
        let noon = Some(at("2026-01-15T12:00:00Z"));
        let scheduled = |source: &str, detail: Value| {
            json!({ "version": "0", "id": "53dc4d37", "detail-type": "Scheduled Event",
                "source": source, "account": "1", "time": "2026-01-15T12:00:00Z",
                "region": "us-east-1", "resources": [], "detail": detail })
        };
        let direct = |time, instances, dry_run| Trigger {
            time,
            instances,
            dry_run,
            shard: Shard::WHOLE,
            scheduled: false,
        };
        let of = |shard, shards| Shard::new(shard, shards).unwrap();
        let regular = |time, shard| Trigger { scheduled: true, shard, ..direct(time, None, false) };
        let cases = [
            (json!({}), direct(None, None, false)),
            (json!({ "dry_run": true }), direct(None, None, true)),
            (json!({ "time": null, "instances": null }), direct(None, None, false)),
            (json!({ "time": "2026-01-15T12:00:00Z" }), direct(noon, None, false)),
            (json!({ "time": "2026-01-15T13:00:00+01:00" }), direct(noon, None, false)),
            (json!({ "instances": [b, a, b] }), direct(None, ids(&[a, b]), false)),
            (
                json!({ "shard": 2, "shards": 4, "time": "2026-01-15T12:00:00Z" }),
                regular(noon, of(2, 4)),
            ),
            (json!({ "shard": 0, "shards": 1 }), regular(None, Shard::WHOLE)),
            (scheduled("aws.events", json!({})), regular(noon, Shard::WHOLE)),
            (scheduled("aws.scheduler", json!("{}")), regular(noon, Shard::WHOLE)),
            (scheduled("aws.scheduler", json!({})), regular(noon, Shard::WHOLE)),
            (scheduled("aws.events", Value::Null), regular(noon, Shard::WHOLE)),
        ];
        for (event, expected) in cases {
            assert_eq!(Trigger::from_event(&event), Ok(expected), "{event}");
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let many: Vec<String> =
            (0..=MAX_INSTANCES).map(|number| format!("i-{number:017x}")).collect();
        let cases = [
            (Value::Null, "no JSON object"),
            (json!([]), "no JSON object"),
            (json!("{}"), "no JSON object"),
            (json!({ "dryrun": true }), "unknown field `dryrun`"),
            (json!({ "dry_run": "yes" }), "invalid type"),
            (json!({ "dry_run": null }), "invalid type"),
            (json!({ "time": 1_768_478_400 }), "`time`"),
            (json!({ "time": "yesterday" }), "`time`"),
            (json!({ "time": "2026-01-15T12:00:00" }), "`time`"),
            (json!({ "time": "2026-02-30T12:00:00Z" }), "`time`"),
            (json!({ "instances": "i-0123456789abcdef0" }), "invalid type"),
            (json!({ "instances": [] }), "names 0 instances"),
            (json!({ "instances": many }), "names 501 instances"),
            (json!({ "shard": 4, "shards": 4 }), "shard 4 of 4 does not exist"),
            (json!({ "shard": 1 }), "shard 1 of 1 does not exist"),
            (json!({ "shard": 0, "shards": 0 }), "shard 0 of 0 does not exist"),
            (json!({ "shard": 0, "shards": 101 }), "1 to 100 `shards`"),
            (json!({ "shard": -1, "shards": 4 }), "invalid value"),
            (json!({ "instances": ["i-0123456789abcdef0", "web-1"] }), "`web-1` is no instance"),
            (
                json!({ "source": "aws.ec2",
                    "detail-type": "EC2 Instance State-change Notification" }),
                "of `aws.ec2`",
            ),
            (
                json!({ "source": "aws.events", "detail-type": "AWS API Call",
                    "time": "2026-01-15T12:00:00Z" }),
                "AWS API Call",
            ),
            (
                json!({ "source": "mine", "detail-type": "Scheduled Event",
                    "time": "2026-01-15T12:00:00Z" }),
                "of `mine`",
            ),
            (json!({ "source": "aws.events", "detail-type": "Scheduled Event" }), "has a `time`"),
            (
                json!({ "source": "aws.events", "detail-type": "Scheduled Event", "time": "noon" }),
                "`time`",
            ),
            (json!({ "source": "aws.events" }), "detail-type"),
            (json!({ "source": 1, "detail-type": "Scheduled Event" }), "invalid type"),
            (
                json!({ "source": "aws.events", "detail-type": "Scheduled Event",
                    "time": "2026-01-15T12:00:00Z", "detail": { "dry_run": true } }),
                "nothing in `detail`",
            ),
        ];
        for (event, why) in cases {
            let error = Trigger::from_event(&event).expect_err(&event.to_string());
            assert!(error.to_string().contains(why), "{event}: {error}");
        }
    }

    #[test]
    fn the_sample_events_are_understood_unless_they_are_meant_not_to_be() {
        let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");
        let mut refused = Vec::new();
        for entry in std::fs::read_dir(samples).unwrap() {
            let path = entry.unwrap().path();
            let event = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let is_label =
                crate::trigger::label::Label::from_event(&event).is_some_and(|it| it.is_ok());
            if Trigger::from_event(&event).is_err() && !is_test(&event) && !is_label {
                refused.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
        refused.sort();
        assert_eq!(refused, ["foreign.json", "malformed.json"]);
    }

    #[test]
    fn a_run_scores_whole_slots_before_its_time() {
        let now = at("2026-01-15T12:03:20Z");
        let noon = at("2026-01-15T12:00:00Z").as_second();
        let times = |time: Option<&str>, lookback| {
            let time = time.map(at);
            let trigger = Trigger {
                time,
                instances: None,
                dry_run: false,
                shard: Shard::WHOLE,
                scheduled: false,
            };
            trigger.times(now, lookback, 0).unwrap()
        };
        assert_eq!(times(None, 30), noon - 1800..noon);
        assert_eq!(times(None, 5), noon - 300..noon);
        assert_eq!(times(Some("2026-01-15T12:00:00Z"), 30), noon - 1800..noon);
        assert_eq!(times(Some("2026-01-15T11:59:59.999Z"), 30), noon - 2100..noon - 300);
        let ahead = times(Some("2026-01-15T12:08:20Z"), 5);
        assert_eq!(ahead, noon - 300..noon, "the clock that sent it is ahead of this one");
    }

    #[test]
    fn who_asks_and_who_goes_on() {
        let now = at("2026-01-15T12:00:00Z");
        let is_question = |event: Value, minutes_ago: i64| {
            Trigger::from_event(&event)
                .unwrap()
                .is_question(now.as_second() - 60 * minutes_ago, now)
        };
        let scheduled = json!({ "source": "aws.events", "detail-type": "Scheduled Event",
            "time": "2026-01-15T08:00:00Z" });
        let shard = json!({ "shard": 0, "shards": 1 });
        assert_eq!([is_question(scheduled.clone(), 0), is_question(scheduled, 240)], [false; 2]);
        assert_eq!([is_question(shard.clone(), 0), is_question(shard, 240)], [false; 2]);
        assert_eq!([is_question(json!({}), 0), is_question(json!({}), 240)], [false, true]);
        assert!(is_question(json!({ "dry_run": true }), 0));
        assert!(is_question(json!({ "instances": ["i-1a2b3c4d"] }), 0));
    }

    #[test]
    fn a_slot_is_scored_when_it_is_settled() {
        let end = |event: Value, now: &str| {
            let times = Trigger::from_event(&event).unwrap().times(at(now), 5, 120);
            Timestamp::from_second(times.unwrap().end).unwrap().to_string()
        };
        let scheduled = |time: &str| {
            let kind = "Scheduled Event";
            json!({ "source": "aws.events", "detail-type": kind, "time": time })
        };
        assert_eq!(end(json!({}), "2026-01-15T12:01:59Z"), "2026-01-15T11:55:00Z");
        assert_eq!(end(json!({}), "2026-01-15T12:02:00Z"), "2026-01-15T12:00:00Z");
        let late = scheduled("2026-01-15T12:00:30Z");
        assert_eq!(end(late.clone(), "2026-01-15T12:00:31Z"), "2026-01-15T11:55:00Z");
        assert_eq!(end(late, "2026-01-15T12:03:00Z"), "2026-01-15T12:00:00Z", "tried again");
        let long_ago = scheduled("2026-01-14T12:00:00Z");
        assert_eq!(end(long_ago, "2026-01-15T12:00:00Z"), "2026-01-14T12:00:00Z");
    }

    #[test]
    fn times_that_cannot_be_scored_are_refused() {
        let now = at("2026-01-15T12:00:00Z");
        let times = |time: &str, dry_run| {
            let trigger = Trigger {
                time: Some(at(time)),
                instances: None,
                dry_run,
                shard: Shard::WHOLE,
                scheduled: false,
            };
            trigger.times(now, 30, 0)
        };
        assert!(matches!(times("2026-01-15T12:05:01Z", false), Err(EventError::Future { .. })));
        assert!(matches!(times("2026-01-15T12:05:01Z", true), Err(EventError::Future { .. })));
        assert!(times("2026-01-01T13:00:00Z", false).is_ok());
        assert!(matches!(times("2026-01-01T12:30:00Z", false), Err(EventError::Past { .. })));
        assert!(
            times("2026-01-01T12:30:00Z", true).is_ok(),
            "a dry run publishes nothing, so its time may be older"
        );
        assert!(matches!(times("-005000-01-01T00:00:00Z", false), Err(EventError::Past { .. })));
    }
}
