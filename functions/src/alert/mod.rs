//! The alerts about an episode: one when it begins, one when it is over.

mod chat;
pub mod console;
pub mod digest;
mod incident;
pub mod ledger;
mod named;
pub mod pending;
mod plain;
mod sender;
pub mod together;

use deepguard::Scored;
use deepguard::baseline::Phase;
use deepguard::channel::Channel;
use deepguard::episode::{Change, End, Episode};
use deepguard::incident::{Earlier, Note};
use deepguard::series::PERIOD;
use deepguard::shape::{Finding, Rank, Shape};
use deepguard_aws::alert::{Alert, Kind};
use deepguard_aws::ids::TargetId;
use serde_json::{Value, json};

use crate::alert::chat::{Button, Facts};
use crate::alert::pending::{Basis, kind, time};
use crate::alert::plain::plain;
pub use crate::alert::sender::Sender;
use crate::time::rfc3339;
use crate::trigger::label::{Label, Verdict};

/// The context of an episode.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The instance that it is about.
    pub instance: &'a TargetId,
    /// Its tag `Name`.
    pub name: Option<&'a str>,
    /// The basis of the judgement.
    pub basis: &'a Basis,
    /// The incident of the episode.
    pub note: &'a Note<TargetId>,
    /// The incident at the same time of an earlier week.
    pub earlier: Option<Earlier>,
    /// The sender.
    pub sender: &'a Sender,
}

/// The lines of a message.
struct Message {
    subject: String,
    lines: Vec<String>,
    /// What to look at next.
    next: Option<&'static str>,
    /// The address of the graph.
    link: String,
    /// The part of the event's detail that the other alert of the episode does not have.
    detail: Value,
}

impl About<'_> {
    /// The alert of a change.
    pub fn alert(&self, change: &Change) -> Alert {
        let (episode, Message { subject, lines, next, link, detail: more }) = match change {
            Change::Began(episode, scored) => (episode, self.began(episode, scored.as_ref())),
            Change::Ended(episode, end, at) => (episode, self.ended(episode, *end, *at)),
        };
        let id = format!("{}-{}", self.instance, episode.told);
        let thread = incident::id(self.note);
        let label = self.label(change);
        let Sender { function, console, .. } = self.sender;
        let region = console.region.as_str();
        let chat = Facts {
            kind: kind(change),
            id: &id,
            thread: &thread,
            subject: &subject,
            lines: &lines,
            next,
            link: Some(&link),
            about: Some((self.instance.as_str(), episode.shape.words())),
            label: label.as_ref().map(|label| Button { label, function, region }),
            deployment: &self.sender.deployment,
        };
        let chat = chat.notification().to_string();
        let mut lines = lines;
        lines.extend(next.map(|next| format!("Look at: {next}.")));
        lines.push(format!("Graph: {link}"));
        let command = label.map(|label| label.command(function, region));
        lines.extend(command.map(|command| format!("If it is not an anomaly: {command}")));
        let text = lines.join("\n");
        let mut detail = json!({
            "version": 1,
            "deployment": self.sender.deployment,
            "id": id,
            "instance": self.instance,
            "name": self.name,
            "shape": episode.shape,
            "since": rfc3339(episode.since),
            "seen": rfc3339(episode.told),
            "page": self.note.page,
            "incident": incident::detail(self.note, self.earlier),
            "model": {
                "version": plain(&self.basis.model),
                "age_days": self.basis.model_days.map(|days| round(days, 1)),
            },
            "subject": subject,
            "text": text,
        });
        extend(&mut detail, more);
        Alert {
            kind: kind(change),
            time: time(change),
            id,
            instance: Some(self.instance.clone()),
            deployment: self.sender.deployment.clone(),
            subject,
            text,
            detail: detail.to_string(),
            chat,
        }
    }

    /// The label that the reader of a page can give, if the function's name is known.
    fn label(&self, change: &Change) -> Option<Label> {
        let is_page = self.note.page && kind(change) == Kind::Began;
        (is_page && !self.sender.function.is_empty()).then(|| Label {
            incident: self.note.first.clone(),
            is: Verdict::NotAnAnomaly,
            shard: self.sender.shard,
        })
    }

    fn began(&self, episode: &Episode, scored: Option<&Scored>) -> Message {
        let mut detail = json!({});
        let link = self.sender.console.graph(self.instance, episode.since, episode.told);
        let what = match scored {
            Some(scored) => observed(scored, episode.shape),
            None if episode.shape == Shape::Stopped => {
                "has stopped reporting at an hour at which it should".to_string()
            }
            // Others of its incident are the news.
            None => format!("has reached a score of {:.2}", episode.peak),
        };
        let words = episode.shape.words();
        let subject = incident::title(self.note, words)
            .unwrap_or_else(|| format!("{}: {words} ({})", self.title(), short(scored)));
        let sentence =
            format!("{} {what}, since {}.", self.who(), self.sender.clock(episode.since));
        let mut looks = format!("It looks like: {}.", episode.shape.words());
        let mut unusual = match episode.shape {
            Shape::Stopped => "it reported at this hour on the days before".to_string(),
            _ => "it has no new datapoint".to_string(),
        };
        if let Some(scored) = scored {
            let score = scored.severity.value().max(scored.score.value());
            looks = format!(
                "{looks} Score {score:.2} ({}), seen {}.",
                incident::level(self.note),
                rule(scored.channel)
            );
            unusual =
                scored.finding.map_or_else(String::new, |finding| in_words(&finding, self.days()));
            let band = [scored.low, scored.high];
            extend(
                &mut detail,
                json!({
                    "observed": round(scored.observed, 2),
                    "expected": round(scored.expected, 2),
                    "band": band.map(|end| round(end.clamp(0.0, 100.0), 2)),
                    "usual_at_this_hour": round(scored.usual, 2),
                    "score": round(score, 3),
                    "rule": scored.channel.map_or("frozen", Channel::name),
                    "minutes": 5 * scored.channel.map_or(1, Channel::slots),
                    "phase": scored.phase,
                }),
            );
        }
        let earlier = self.earlier.map(|it| incident::earlier(&it, self.note, self.sender));
        let mut lines: Vec<String> =
            earlier.into_iter().chain(incident::lines(self.note)).collect();
        lines.extend([
            sentence,
            looks,
            format!("How unusual: {unusual}."),
            self.rests_on(scored, episode.told),
        ]);
        let next = next(episode.shape);
        extend(
            &mut detail,
            json!({
                "how_unusual": unusual,
                "baseline": self.basis.baseline.map(|baseline| json!({
                    "of": rfc3339(baseline.at),
                    "age_hours": round((episode.told - baseline.at) as f64 / 3600.0, 1),
                    "days": baseline.days,
                })),
                "look_at": next,
                "link": link,
            }),
        );
        Message { subject, lines, next: Some(next), link, detail }
    }

    fn ended(&self, episode: &Episode, end: End, at: i64) -> Message {
        let lasted = duration(at - episode.since);
        let what = match end {
            End::Recovered if episode.shape == Shape::Stopped => "reports again",
            End::Recovered => "is as usual again",
            End::BecameUsual => {
                "has stayed as it is for a day, which is taken for its new usual from now on"
            }
            End::Gone => "does not report any more, so that this is over",
            End::Worsened => "has got much worse, and a new message says how",
        };
        let link = self.sender.console.graph(self.instance, episode.since, at);
        let (who, words) = (self.who(), episode.shape.words());
        let over = format!("over after {lasted} ({words})");
        let subject = incident::title(self.note, &over)
            .unwrap_or_else(|| format!("{}: {over}", self.title()));
        let sentence = format!(
            "{who} {what}: {words} from {} to {} ({lasted}), highest score {:.2}.",
            self.sender.clock(episode.since),
            self.sender.clock(at),
            episode.peak
        );
        let detail = json!({
            "end": end,
            "until": rfc3339(at),
            "duration_seconds": at - episode.since,
            "peak_score": round(episode.peak, 3),
            "link": link,
        });
        let mut lines = incident::lines(self.note);
        lines.push(sentence);
        Message { subject, lines, next: None, link, detail }
    }

    /// Days of history behind the baseline.
    fn days(&self) -> usize {
        self.basis.baseline.map_or(0, |baseline| baseline.days)
    }

    /// The basis on which the instance is judged.
    fn rests_on(&self, scored: Option<&Scored>, at: i64) -> String {
        let version = plain(&self.basis.model);
        let model = match self.basis.model_days {
            Some(days) => {
                format!("model {version} ({} old)", count(days.round() as usize, "day"))
            }
            None => format!("model {version}"),
        };
        if scored.is_some_and(|scored| scored.phase == Phase::Group) {
            return format!("Judged by its group, because its own history is short, and {model}.");
        }
        let Some(baseline) = self.basis.baseline else {
            let first_hours = if scored.is_some() { "its own first hours and " } else { "" };
            return format!("Judged by {first_hours}{model}.");
        };
        let whose = match scored.map_or(baseline.phase, |scored| scored.phase) {
            Phase::Own => "its own history",
            _ => "a borrowed measure, because its own history is short,",
        };
        let age = duration(at - baseline.at);
        format!(
            "Judged by {whose} of {} (baseline {age} old) and {model}.",
            count(self.days(), "day")
        )
    }
}

fn extend(detail: &mut Value, more: Value) {
    if let (Value::Object(detail), Value::Object(more)) = (detail, more) {
        detail.extend(more);
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let unit = 10f64.powi(digits);
    (value * unit).round() / unit
}

/// Percent, with as many digits as matter.
fn percent(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.2} %") } else { format!("{value:.1} %") }
}

/// The observed and the expected value, as the rest of a sentence about the instance.
fn observed(scored: &Scored, shape: Shape) -> String {
    let Scored { observed, expected, low, high, usual, .. } = *scored;
    match (shape, scored.channel) {
        (Shape::Flatline, _) => {
            let lasted = scored.finding.map_or(0, |finding| finding.run as i64) * PERIOD;
            format!("has had the same {} CPU for {}", percent(observed), duration(lasted))
        }
        (_, Some(Channel::SpikeUp | Channel::SpikeDown)) => {
            let (low, high) = (low.max(0.0), high.min(100.0));
            format!(
                "uses {} CPU instead of {} ({} to {})",
                percent(observed),
                percent(expected),
                percent(low),
                percent(high)
            )
        }
        (Shape::UnlikePeers, _) => {
            let off = scored.finding.map_or(observed - usual, |finding| finding.deviation);
            let way = if off >= 0.0 { "more" } else { "less" };
            format!(
                "uses {:.1} points {way} CPU than the rest of its group, other than usual ({} now)",
                off.abs(),
                percent(observed)
            )
        }
        (Shape::Unrest, _) => {
            let (now, around) = (percent(observed), percent(usual));
            format!(
                "uses its CPU in another rhythm than usual ({now} now, {around} is usual at this \
                 hour)"
            )
        }
        _ => {
            let off = scored.finding.map_or(observed - usual, |finding| finding.deviation);
            let way = if off >= 0.0 { "more" } else { "less" };
            let (now, by) = (percent(observed), off.abs());
            format!(
                "uses {by:.1} points {way} CPU than is usual at this hour ({now} now, {} is usual)",
                percent(usual)
            )
        }
    }
}

/// The same in a few words.
fn short(scored: Option<&Scored>) -> String {
    match scored {
        None => "no datapoints".into(),
        Some(scored) => {
            format!("{} CPU, {} expected", percent(scored.observed), percent(scored.expected))
        }
    }
}

/// The rule that found it.
fn rule(channel: Option<Channel>) -> &'static str {
    match channel {
        None => "because the value does not change",
        Some(Channel::SpikeUp) => "in a single datapoint (5 minutes) above its forecast",
        Some(Channel::SpikeDown) => "in a single datapoint (5 minutes) below its forecast",
        Some(Channel::BurstUp) => "in the last half hour, above its forecast",
        Some(Channel::BurstDown) => "in the last half hour, below its forecast",
        Some(Channel::HoursUp) => "in the last two hours, above their forecast",
        Some(Channel::HoursDown) => "in the last two hours, below their forecast",
        Some(Channel::StaysLow) => "in the last quarter of an hour, all of it this low",
        Some(Channel::StaysHigh) => "in the last three hours, all of them this high",
        Some(Channel::PeersUp) => "in the last two hours, above the rest of its group",
        Some(Channel::PeersDown) => "in the last two hours, below the rest of its group",
    }
}

/// How unusual it is, in words: in the last `days` of the instance, or in those of its group.
pub fn in_words(finding: &Finding, days: usize) -> String {
    let span = match days {
        0 => "that its group had in two weeks".to_string(),
        days => format!("of the last {days} days"),
    };
    match (finding.shape, finding.rank) {
        (Shape::Flatline, _) => {
            let ever = span.replacen("of", "in", 1);
            let run = finding.run;
            format!("{run} datapoints in a row with the same value, longer than ever {ever}")
        }
        (Shape::UnlikePeers, _) => {
            "for two hours, as its difference from the group was on no day but one of the last two \
             weeks"
                .into()
        }
        (_, Rank::HighestOfAll) => format!("higher than all {span}"),
        (_, Rank::HighestOfHour) => format!("higher than all {span} at this hour"),
        (_, Rank::LowestOfAll) => format!("lower than all {span}"),
        (_, Rank::LowestOfHour) => format!("lower than all {span} at this hour"),
        (_, Rank::Within) => {
            let ever = span.replacen("of", "in", 1);
            format!("a value that it does have at this hour, but not in this way {ever}")
        }
    }
}

/// The next thing to look at.
pub const fn next(shape: Shape) -> &'static str {
    match shape {
        Shape::Spike => {
            "the busiest processes and requests at that time, and what was started or deployed \
             just before"
        }
        Shape::Drop => {
            "whether it still gets its work: load balancer health, queue consumers, a process that \
             died"
        }
        Shape::LevelShift => {
            "deployments, configuration and traffic shares at that time; if it is meant to be so, \
             nothing more will be said"
        }
        Shape::Drift => {
            "what grows: memory, threads, garbage collection, a queue or a table, since that time"
        }
        Shape::Flatline => {
            "whether the instance still works: its status checks, and NetworkIn and NetworkOut \
             beside the CPU"
        }
        Shape::UnusualHour => {
            "schedules that moved or ran late (cron, time zones, a backup), and traffic at that \
             hour"
        }
        Shape::Unrest => {
            "restarts, retries and autoscaling that goes back and forth, and neighbours that take \
             CPU (steal)"
        }
        Shape::UnlikePeers => {
            "what is different on this one machine of the group: its share of the traffic, its \
             version and configuration, a job that only it runs, a neighbour that takes CPU (steal)"
        }
        Shape::Stopped => {
            "its state and status checks in EC2: was it stopped or terminated, and by whom \
             (CloudTrail)"
        }
    }
}

/// A number of things, in words.
fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Seconds in hours and minutes.
fn duration(seconds: i64) -> String {
    let minutes = seconds.max(0) / 60;
    match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests;
