//! The event with which a person says that a page was no anomaly, or takes that back. Messages and
//! the chat have it prepared.

use deepguard_aws::ids::TargetId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::trigger::EventError;
use crate::trigger::shard::Shard;

/// The event's field that tells it from others.
const LABEL: &str = "label";

/// What a person says of an incident.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It is usual, and not to page.
    #[default]
    #[serde(rename = "not an anomaly")]
    NotAnAnomaly,
    /// A label was wrong, and is taken back.
    #[serde(rename = "an anomaly")]
    Anomaly,
}

/// A label of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The incident: its first instance, and when that one's episode was reported, in seconds
    /// since 1970.
    pub incident: (TargetId, i64),
    /// What it is.
    pub is: Verdict,
    /// The part of the fleet whose incident it is.
    pub shard: Shard,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    label: Labelled,
    shard: Option<u32>,
    shards: Option<u32>,
}

/// In short only the incident. It stands for "not an anomaly": Amazon Q Developer takes commands
/// of at most 100 characters.
#[derive(Deserialize)]
#[serde(untagged)]
enum Labelled {
    Short(String),
    Whole(Whole),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    incident: String,
    is: Verdict,
}

impl Label {
    /// The label in an event; `None` where the event is not one.
    ///
    /// # Errors
    /// [`EventError`] describes the fault.
    pub fn from_event(event: &Value) -> Option<Result<Self, EventError>> {
        event.get(LABEL).map(|_| Self::parse(event))
    }

    fn parse(event: &Value) -> Result<Self, EventError> {
        let Event { label, shard, shards } = Event::deserialize(event).map_err(|_| {
            EventError::Shape(
                "a label is {\"incident\": \"<id of an incident>\", \"is\": \"not an anomaly\"} or \
                 \"an anomaly\", with the shard of the message beside it"
                    .into(),
            )
        })?;
        let (incident, is) = match label {
            Labelled::Short(incident) => (incident, Verdict::default()),
            Labelled::Whole(Whole { incident, is }) => (incident, is),
        };
        let (shard, shards) = (shard.unwrap_or(0), shards.unwrap_or(1));
        let shard = Shard::new(shard, shards).ok_or(EventError::Shard { shard, shards })?;
        let parsed = incident.rsplit_once('-').and_then(|(instance, told)| {
            let digits = told.bytes().all(|byte| byte.is_ascii_digit());
            Some((instance.parse().ok()?, told.parse().ok().filter(|_| digits)?))
        });
        let shown = || incident.chars().take(40).collect();
        Ok(Self { incident: parsed.ok_or_else(|| EventError::Incident(shown()))?, is, shard })
    }

    /// The id of the incident, as in its messages.
    pub fn id(&self) -> String {
        let (instance, told) = &self.incident;
        format!("{instance}-{told}")
    }

    /// The event that says it.
    pub fn event(&self) -> Value {
        let mut event = json!({ LABEL: { "incident": self.id(), "is": self.is } });
        if self.shard != Shard::WHOLE {
            event["shard"] = self.shard.number().into();
            event["shards"] = self.shard.of().into();
        }
        event
    }

    /// The command that sends the event to `function` in `region`, in one line for a shell. Without
    /// a Region it is the one that the shell is set up for.
    pub fn command(&self, function: &str, region: &str) -> String {
        let region = match region {
            "" => String::new(),
            region => format!(" --region {region}"),
        };
        // The name of an Auto Scaling group may have an apostrophe, which would end the quotes.
        let payload = self.event().to_string().replace('\'', "\\u0027");
        format!(
            "aws lambda invoke --function-name {function}{region} --cli-binary-format \
             raw-in-base64-out --payload '{payload}' /dev/stdout"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;

    #[test]
    fn no_name_ends_the_quotes_of_the_command() {
        let group = "asg:we'b;reboot".parse().unwrap();
        let label =
            Label { incident: (group, 300), is: Verdict::NotAnAnomaly, shard: Shard::WHOLE };
        let command = label.command("detector", "");
        let parts: Vec<&str> = command.split('\'').collect();
        let [_, payload, " /dev/stdout"] = parts[..] else { panic!("{command}") };
        let event: Value = serde_json::from_str(payload).unwrap();
        assert_eq!(Label::from_event(&event), Some(Ok(label)));
    }

    #[test]
    fn a_label_is_read_as_it_is_written() {
        for is in [Verdict::NotAnAnomaly, Verdict::Anomaly] {
            for shard in [Shard::WHOLE, Shard::new(2, 4).unwrap()] {
                let label = Label { incident: (instance(7), 1_768_478_400), is, shard };
                assert_eq!(Label::from_event(&label.event()), Some(Ok(label)));
            }
        }
        let event =
            json!({ "label": format!("{}-1768478400", instance(7)), "shard": 2, "shards": 4 });
        let label = Label::from_event(&event).unwrap().unwrap();
        assert_eq!((label.is, label.shard.to_string()), (Verdict::NotAnAnomaly, "4/2".into()));
        assert_eq!(Label::from_event(&json!({ "dry_run": true })), None);
    }

    #[test]
    fn a_command_is_one_line_that_a_shell_takes_apart() {
        let incident = (instance(7), 1_768_478_400);
        let label = Label { incident, is: Verdict::NotAnAnomaly, shard: Shard::WHOLE };
        let command = label.command("deepguard-Detector-abc", "eu-central-1");
        let parts: Vec<&str> = command.split('\'').collect();
        assert_eq!(parts.len(), 3, "{command}");
        assert_eq!(serde_json::from_str::<Value>(parts[1]).unwrap(), label.event());
        assert!(command.starts_with(
            "aws lambda invoke --function-name deepguard-Detector-abc --region eu-central-1 "
        ));
        assert!(command.ends_with(" /dev/stdout") && !command.contains('\n'));
        assert!(!label.command("detector", "").contains("--region"));
    }

    #[test]
    fn what_is_no_label_is_refused_and_why() {
        let whole = |incident: &str| json!({ "incident": incident, "is": "not an anomaly" });
        for id in ["", "web-1", "i-0123456789abcdef0", "i-0123456789abcdef0-+5", "i-1a2b3c4d-noon"]
        {
            let error = Label::from_event(&json!({ "label": whole(id) })).unwrap().unwrap_err();
            assert_eq!(error, EventError::Incident(id.into()));
            assert!(error.to_string().contains("message"), "{error}");
        }
        let id = format!("{}-1768478400", instance(7));
        let cases = [
            (json!({ "label": null }), "a label is"),
            (json!({ "label": { "incident": id } }), "a label is"),
            (json!({ "label": { "incident": id, "is": "fine" } }), "a label is"),
            (json!({ "label": whole(&id), "dry_run": true }), "a label is"),
            (json!({ "label": whole(&id), "shard": 4, "shards": 4 }), "shard 4 of 4"),
        ];
        for (event, why) in cases {
            let error = Label::from_event(&event).unwrap().unwrap_err().to_string();
            assert!(error.contains(why), "{event}: {error}");
        }
    }
}
