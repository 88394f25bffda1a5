//! An alert as a custom notification of Amazon Q Developer in chat applications (Slack, Microsoft
//! Teams), which reads it from an SNS topic.
//!
//! The schema is version 1.0 of its administrator guide, "Custom notifications". Texts are cut, so
//! that they stay readable in a channel and a batch of them fits into one call.

use deepguard_aws::alert::Kind;
use serde::Serialize;
use serde_json::{Value, json};

use crate::trigger::label::Label;

/// Characters of the longest subject.
const SUBJECT: usize = 200;
/// Characters of the longest line.
const LINE: usize = 400;
/// Characters of the longest keyword, or value of the context.
const WORD: usize = 75;

/// The facts of a notification, in words as the other ways have them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) kind: Kind,
    /// The same for the beginning and the end of an episode.
    pub(crate) id: &'a str,
    /// The id of its incident: the alerts of one are one thread, and its end answers its beginning.
    pub(crate) thread: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) lines: &'a [String],
    /// What to look at next.
    pub(crate) next: Option<&'a str>,
    /// The address of the graph.
    pub(crate) link: Option<&'a str>,
    /// The instance and the kind of anomaly; `None` for a test.
    pub(crate) about: Option<(&'a str, &'a str)>,
    /// What the button of a page sends; `None` where it has none.
    pub(crate) label: Option<Button<'a>>,
    pub(crate) deployment: &'a str,
}

/// The button that labels an incident: `NotAnAnomalyButton` in the template reads the context by
/// these names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Button<'a> {
    pub(crate) label: &'a Label,
    pub(crate) function: &'a str,
    pub(crate) region: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification<'a> {
    version: &'a str,
    source: &'a str,
    id: String,
    content: Content<'a>,
    metadata: Metadata<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    text_type: &'a str,
    title: String,
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    next_steps: Vec<String>,
    keywords: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    thread_id: &'a str,
    summary: String,
    event_type: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_resources: Vec<&'a str>,
    additional_context: Value,
}

impl Facts<'_> {
    /// The notification, JSON.
    pub(crate) fn notification(&self) -> Value {
        let Self { kind, id, thread, deployment, .. } = *self;
        let icon = match kind {
            Kind::Began => ":warning:",
            Kind::Ended => ":white_check_mark:",
            Kind::Digest | Kind::Test => ":information_source:",
        };
        let lines: Vec<String> = self.lines.iter().map(|line| text(line, LINE)).collect();
        let next = self.next.map(|next| text(&format!("Look at {next}"), LINE));
        // Both clients take an address in these brackets.
        let link = self.link.map(|link| format!("<{link}>"));
        let (instance, shape) = self.about.unzip();
        let mut context = json!({
            "episode": id,
            "kind": kind.name(),
            "deployment": text(deployment, WORD),
        });
        if let Some(Button { label, function, region }) = self.label {
            context["incident"] = label.id().into();
            context["shard"] = label.shard.number().to_string().into();
            context["shards"] = label.shard.of().to_string().into();
            context["function"] = text(function, WORD).into();
            context["region"] = text(region, WORD).into();
        }
        let words = [shape, instance, Some(deployment)].into_iter().flatten();
        json!(Notification {
            version: "1.0",
            source: "custom",
            id: format!("{id}-{}", kind.name()),
            content: Content {
                text_type: "client-markdown",
                title: format!("{icon} {}", text(self.subject, SUBJECT)),
                description: lines.join("\n"),
                next_steps: next.into_iter().chain(link).collect(),
                keywords: words.map(|word| text(word, WORD)).collect(),
            },
            metadata: Metadata {
                thread_id: thread,
                summary: text(self.subject, SUBJECT),
                event_type: kind.detail_type(),
                related_resources: instance.into_iter().collect(),
                additional_context: context,
            },
        })
    }
}

/// A text of at most this many characters, in which no character begins a link or calls a person:
/// people choose the names of instances.
fn text(text: &str, longest: usize) -> String {
    let mut characters = text.chars();
    let mut cut: String = characters.by_ref().take(longest).collect();
    if characters.next().is_some() {
        cut.push_str("...");
    }
    cut.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "(at)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trigger::shard::Shard;

    fn facts<'a>(kind: Kind, subject: &'a str, lines: &'a [String]) -> Facts<'a> {
        Facts {
            kind,
            id: "i-00000000000000007-1768478400",
            thread: "i-00000000000000003-1768478100",
            subject,
            lines,
            next: Some("what grows"),
            link: Some("https://example.com/#metricsV2:graph=~(metrics~(~(~'AWS*2fEC2)))"),
            about: Some(("i-00000000000000007", "a drift")),
            label: None,
            deployment: "deepguard",
        }
    }

    /// Holds a notification to the schema: the names and types of its fields, the fixed values.
    fn hold_to_the_schema(notification: &Value) {
        let fields = |value: &Value, known: &[&str]| {
            let object = value.as_object().unwrap_or_else(|| panic!("{value} is no object"));
            for (name, _) in object {
                assert!(known.contains(&name.as_str()), "the schema has no {name}");
            }
        };
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        let are_texts = |value: &Value| {
            value.is_null() || value.as_array().is_some_and(|all| all.iter().all(is_text))
        };
        fields(notification, &["version", "source", "id", "content", "metadata"]);
        assert_eq!(
            (&notification["version"], &notification["source"]),
            (&json!("1.0"), &json!("custom"))
        );
        assert!(is_text(&notification["id"]));
        let content = &notification["content"];
        fields(content, &["textType", "title", "description", "nextSteps", "keywords"]);
        assert_eq!(content["textType"], "client-markdown");
        assert!(is_text(&content["title"]) && is_text(&content["description"]));
        assert!(are_texts(&content["nextSteps"]) && are_texts(&content["keywords"]));
        let metadata = &notification["metadata"];
        let known = ["threadId", "summary", "eventType", "relatedResources", "additionalContext"];
        fields(metadata, &known);
        assert!(["threadId", "summary", "eventType"].iter().all(|name| is_text(&metadata[name])));
        assert!(are_texts(&metadata["relatedResources"]));
        assert!(metadata["additionalContext"].as_object().unwrap().values().all(is_text));
    }

    #[test]
    fn every_kind_follows_the_schema() {
        let lines = ["one".to_string(), "two".to_string()];
        for kind in [Kind::Began, Kind::Ended, Kind::Test] {
            let whole = facts(kind, "web-1: a drift", &lines);
            let least = Facts { next: None, link: None, about: None, ..whole };
            for facts in [whole, least] {
                hold_to_the_schema(&facts.notification());
            }
        }
        let began = facts(Kind::Began, "web-1: a drift", &lines).notification();
        assert_eq!(began["content"]["title"], ":warning: web-1: a drift");
        assert_eq!(began["content"]["description"], "one\ntwo");
        let steps = began["content"]["nextSteps"].as_array().unwrap();
        assert_eq!(steps[0], "Look at what grows");
        assert!(steps[1].as_str().unwrap().starts_with("<https://example.com/#"), "{}", steps[1]);
    }

    #[test]
    fn the_button_of_the_template_finds_what_it_sends() {
        let label = Label {
            incident: ("i-00000000000000007".parse().unwrap(), 1_768_478_400),
            is: Default::default(),
            shard: Shard::new(2, 4).unwrap(),
        };
        let (function, region) = ("deepguard-Detector-abc", "eu-central-1");
        let button = Some(Button { label: &label, function, region });
        let facts = Facts { label: button, ..facts(Kind::Began, "web-1: a drift", &[]) };
        let notification = facts.notification();
        let template = include_str!("../../../template.yaml");
        let action = template.split("  NotAnAnomalyButton:\n").nth(1).unwrap();
        let action = action.split("\n\n").next().unwrap();
        let command = action.split("CommandText: >-\n").nth(1).unwrap();
        let mut command: Vec<&str> = command.lines().take(2).map(str::trim).collect();
        let joined = command.join(" ");
        assert!(joined.len() <= 100, "the API takes no longer one: {joined}");
        let mut sent = command.remove(1).to_string();
        let mut variables = 0;
        for line in action.lines() {
            let Some((name, path)) = line.trim().split_once(": event.") else { continue };
            let path = format!("/{}", path.replace('.', "/"));
            let value = notification.pointer(&path).unwrap_or_else(|| panic!("no {path}"));
            sent = sent.replace(&format!("${name}"), value.as_str().unwrap());
            variables += 1;
        }
        assert_eq!(variables, 5, "and it takes no more");
        let sent: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(Label::from_event(&sent), Some(Ok(label)));
    }

    #[test]
    fn the_end_answers_the_beginning() {
        let [began, ended] = [Kind::Began, Kind::Ended]
            .map(|kind| facts(kind, "web-1: a drift", &["line".into()]).notification());
        for notification in [&began, &ended] {
            assert_eq!(notification["metadata"]["threadId"], "i-00000000000000003-1768478100");
        }
        assert_ne!(began["id"], ended["id"]);
    }

    #[test]
    fn a_name_calls_no_channel_and_begins_no_link() {
        let name = "<!channel> <https://evil.example|web-1> @here <at>all</at> a&b";
        let lines = [format!("{name} uses 97 % CPU.")];
        let notification = facts(Kind::Began, name, &lines).notification();
        for part in [&notification["content"]["title"], &notification["content"]["description"]] {
            let part = part.as_str().unwrap();
            assert!(!part.contains(['<', '>', '@']), "{part}");
            assert!(part.contains("a&amp;b"), "{part}");
        }
    }

    #[test]
    fn the_longest_fits_ten_times_into_a_call() {
        let long = "&".repeat(10_000);
        let lines = vec![long.clone(); 8];
        let mut facts = facts(Kind::Began, &long, &lines);
        (facts.next, facts.deployment) = (Some(long.as_str()), &long);
        let size = facts.notification().to_string().len();
        assert!(size < deepguard_aws::sns::MESSAGE, "{size} bytes");
    }
}
