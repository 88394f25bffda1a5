//! The daily digest: pages, the strongest notices, what is quiet, and instances without a score.

use deepguard::incident::{Quiet, Scope, Weekly};
use deepguard::shape::Shape;
use deepguard_aws::alert::{Alert, Kind};
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Skip;
use deepguard_aws::prices::KIND_OF_PRICES;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde_json::json;

use crate::alert::ledger::{Digest, Entry};
use crate::alert::plain::plain;
use crate::alert::together::Shared;
use crate::alert::{Sender, count};
use crate::spent::Used;
use crate::time::rfc3339;

/// The most lines about what is quiet.
const MOST_QUIET: usize = 20;

/// When a digest is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Daily {
    /// The time of day, in the zone of messages.
    pub at: Time,
    /// Whether there is one after a day without anomalies.
    pub quiet: bool,
}

impl Daily {
    /// The last time at which a digest was due, at `now` (seconds since 1970). A time that a change
    /// of clocks leaves out is the one an hour later.
    pub fn last(self, zone: &TimeZone, now: i64) -> Option<i64> {
        let today = Timestamp::from_second(now).ok()?.to_zoned(zone.clone()).date();
        let at = |date: Date| {
            let time = date.to_datetime(self.at).to_zoned(zone.clone()).ok()?;
            Some(time.timestamp().as_second())
        };
        at(today).filter(|at| *at <= now).or_else(|| at(today.yesterday().ok()?))
    }
}

impl Sender {
    /// A digest in words. `name` gives the tag `Name` of an instance.
    pub fn digest(
        &self,
        shared: &Shared,
        weekly: &Weekly<TargetId>,
        name: impl Fn(&TargetId) -> Option<String>,
    ) -> Alert {
        let Shared { digest, quiet, parts, used } = shared;
        let quiet_lines = || {
            let listed = quiet.iter().take(MOST_QUIET).map(|quiet| self.quiet_line(quiet, &name));
            listed.chain(more(quiet.len(), MOST_QUIET))
        };
        let (pages, notices) = (count(digest.paged, "page"), count(digest.noticed, "notice"));
        let subject = match digest.is_quiet() {
            true => format!("{}: a quiet day", self.deployment),
            false => format!("{}: {pages}, {notices} in a day", self.deployment),
        };
        let mut lines = vec![format!(
            "{} from {} to {}.",
            self.deployment,
            self.clock(digest.since),
            self.clock(digest.until)
        )];
        if digest.is_quiet() {
            lines.push(format!("Nothing was unusual. {}", coverage(digest)));
            lines.extend(quiet_lines());
        } else {
            lines.push(format!("{pages}{}", if digest.paged > 0 { ":" } else { "." }));
            lines.extend(digest.pages.iter().map(|page| self.line(page, &name)));
            lines.extend(more(digest.paged, digest.pages.len()));
            let level = digest.level.value();
            let is_weekly = |notice: &Entry| weekly.before(&notice.first).is_some();
            let or_quiet = if quiet.is_empty() { "" } else { ", or quiet" };
            // What other shards know of earlier weeks is not known here.
            let any = self.shard.of() > 1 || digest.notices.iter().any(is_weekly);
            let or_weekly = if any { ", or as in an earlier week" } else { "" };
            lines.push(match digest.noticed {
                0 => "0 notices.".into(),
                _ => format!(
                    "{notices} below the page level of {level:.2}, or a higher one of their \
                     own{or_quiet}{or_weekly}:"
                ),
            });
            lines.extend(digest.notices.iter().map(|notice| {
                let as_before = if is_weekly(notice) { ", as in an earlier week" } else { "" };
                self.line(notice, &name) + as_before
            }));
            let listed = digest.notices.iter().map(|notice| notice.times).sum();
            lines.extend(more(digest.noticed, listed));
            if digest.suppressed > 0 {
                lines.push(format!("{} muted.", count(digest.suppressed, "anomalous datapoint")));
            }
            lines.extend(quiet_lines());
            lines.push(coverage(digest));
        }
        let shards = self.shard.of();
        let mut id = format!("digest-{}", digest.until);
        match (parts.contains(&0), parts.len()) {
            // That of the first part has those of the others.
            (true, there) if there < shards as usize => lines.push(format!(
                "It covers {there} of {shards} shards: the others were late and send their own."
            )),
            (true, _) => {}
            (false, _) => {
                let number = self.shard.number();
                id = format!("{id}-{number}");
                lines.push(format!("It covers shard {number} of {shards} alone."));
            }
        }
        lines.extend(cost(*used));
        let text = lines.join("\n");
        let detail = json!({
            "version": 1,
            "deployment": self.deployment,
            "id": id,
            "since": rfc3339(digest.since),
            "until": rfc3339(digest.until),
            "pages": digest.paged,
            "notices": digest.noticed,
            "suppressed": digest.suppressed,
            "page_level": digest.level.value(),
            "subject": subject,
            "text": text,
        });
        Alert {
            kind: Kind::Digest,
            time: digest.until,
            id,
            instance: None,
            deployment: self.deployment.clone(),
            subject,
            text,
            detail: detail.to_string(),
            // It is for a mail in the morning.
            chat: String::new(),
        }
    }

    fn line(&self, entry: &Entry, name: impl Fn(&TargetId) -> Option<String>) -> String {
        let (instance, told) = &entry.first;
        let who = whose(&entry.scope, instance, name);
        let who = match &entry.scope {
            Scope::Machine(_) => who,
            _ => format!("{who}, {}", count(entry.instances, "instance")),
        };
        let until = match entry.until {
            Some(until) => format!(" to {}", self.clock(until)),
            None => String::new(),
        };
        let times = match entry.times {
            1 => String::new(),
            times => format!(", the strongest of {times}"),
        };
        let (from, shape) = (self.clock(*told), entry.shape.words());
        format!("- {who}: {shape}, {from}{until}, score {:.2}{times}", entry.peak)
    }

    fn quiet_line(
        &self,
        quiet: &Quiet<TargetId>,
        name: impl Fn(&TargetId) -> Option<String>,
    ) -> String {
        let who = whose(&quiet.scope, &quiet.first.0, name);
        let unless = match quiet.shape {
            // It has no score.
            Shape::Stopped => String::new(),
            _ => format!(" (unless its score is {:.2} or more)", quiet.worse()),
        };
        let (until, shape) = (self.clock(quiet.until), quiet.shape.words());
        format!("Quiet until {until}: {who}, {shape}{unless}")
    }
}

/// The machine by name and id, the group, or the fleet.
fn whose(
    scope: &Scope<TargetId>,
    instance: &TargetId,
    name: impl Fn(&TargetId) -> Option<String>,
) -> String {
    match scope {
        Scope::Machine(_) => match name(instance).map(|name| plain(&name)) {
            Some(name) if !name.is_empty() => format!("{name} ({instance})"),
            _ => instance.to_string(),
        },
        Scope::Group(group) => plain(group),
        Scope::Fleet => "the fleet".into(),
    }
}

/// The line after a list that does not have all.
fn more(all: usize, listed: usize) -> Option<String> {
    let left = all.saturating_sub(listed);
    (left > 0).then(|| format!("- and {left} more"))
}

/// What CloudWatch costs in this month; nothing where that is less than a cent.
fn cost(used: Used) -> Option<String> {
    let [reading, metrics] = used.dollars();
    let all = reading + metrics;
    (all >= 0.01).then(|| {
        format!(
            "CloudWatch has cost about ${all:.2} this month: ${reading:.2} for reading, \
             ${metrics:.2} for metrics ({KIND_OF_PRICES})."
        )
    })
}

fn coverage(digest: &Digest) -> String {
    let coverage = &digest.coverage;
    let skipped: usize = coverage.skipped.values().sum();
    let (watched, scored) = (coverage.watched, coverage.watched.saturating_sub(skipped));
    let mut text = format!("Scored: {scored} of {}", count(watched, "watched instance"));
    let reason = |(reason, number): (&Skip, &usize)| format!("; {number}: {}", reason.meaning());
    text.extend(coverage.skipped.iter().map(reason));
    for (number, what) in [(coverage.muted, "muted now"), (coverage.left_out, "left out by tags")] {
        if number > 0 {
            text.push_str(&format!("; {number} {what}"));
        }
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::console::Console;
    use crate::alert::ledger::Coverage;
    use crate::testing::instance;
    use deepguard::budget::PageLevel;

    const MORNING: i64 = 1_768_460_400; // 2026-01-15 07:00 UTC

    fn entry(number: usize, scope: Option<&str>, times: usize) -> Entry {
        let first = (instance(number), MORNING - 7200);
        let scope = scope.map(|name| Scope::Group(name.into()));
        Entry {
            scope: scope.unwrap_or(Scope::Machine(instance(number))),
            first,
            shape: Shape::Spike,
            peak: 1.55,
            instances: 12,
            until: (times == 1).then_some(MORNING - 3600),
            times,
        }
    }

    fn worded(digest: &Digest, quiet: &[Quiet<TargetId>]) -> Alert {
        let console =
            Console { region: "eu-central-1".into(), namespace: "DeepGuard".into(), bands: true };
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let sender = Sender {
            deployment: "deepguard".into(),
            function: String::new(),
            shard: crate::trigger::shard::Shard::WHOLE,
            console,
            zone,
        };
        let name = |known: &TargetId| (*known == instance(1)).then(|| "db-1".to_string());
        let used = Used { reads: 864_000, metric_hours: 7200 };
        let parts = [0].into();
        let shared = Shared { digest: digest.clone(), quiet: quiet.to_vec(), parts, used };
        sender.digest(&shared, &Weekly::default(), name)
    }

    #[test]
    fn it_is_read_in_the_morning() {
        let digest = Digest {
            since: MORNING - 86_400,
            until: MORNING,
            paged: 2,
            pages: vec![entry(1, None, 1), entry(2, Some("web"), 1)],
            noticed: 9,
            notices: vec![entry(3, None, 3)],
            suppressed: 1,
            coverage: Coverage {
                watched: 200,
                skipped: [(Skip::NoBaseline, 2)].into(),
                left_out: 3,
                muted: 4,
            },
            level: PageLevel::new(1.6),
        };
        let Alert { subject, text, .. } = worded(&digest, &[]);
        assert_eq!(subject, "deepguard: 2 pages, 9 notices in a day");
        let expected = "deepguard from 2026-01-14 08:00 CET to 2026-01-15 08:00 CET.
2 pages:
- db-1 (i-00000000000000001): spike, 2026-01-15 06:00 CET to 2026-01-15 07:00 CET, score 1.55
- web, 12 instances: spike, 2026-01-15 06:00 CET to 2026-01-15 07:00 CET, score 1.55
9 notices below the page level of 1.60, or a higher one of their own:
- i-00000000000000003: spike, 2026-01-15 06:00 CET, score 1.55, the strongest of 3
- and 6 more
1 anomalous datapoint muted.
Scored: 198 of 200 watched instances; 2: it had under half a day of datapoints before \
                        midnight or noon UTC; 4 muted now; 3 left out by tags.
CloudWatch has cost about $11.64 this month: $8.64 for reading, $3.00 for metrics (list prices \
                        us-east-1, without free tier).";
        assert_eq!(text, expected);
        let text = worded(&digest, &quiet()).text;
        let expected = expected
            .replace("of their own:", "of their own, or quiet:")
            .replace("Scored:", &format!("{QUIET}\nScored:"));
        assert_eq!(text, expected);
    }

    const QUIET: &str = "\
Quiet until 2026-01-29 08:00 CET: db-1 (i-00000000000000001), drift (unless its score is 4.20 or \
                         more)
Quiet until 2026-01-29 08:00 CET: web, stopped reporting";

    fn quiet() -> Vec<Quiet<TargetId>> {
        let until = MORNING + deepguard::incident::LASTS;
        let of = |number, scope, shape, peak| Quiet {
            first: (instance(number), MORNING),
            scope,
            shape,
            peak,
            until,
        };
        vec![
            of(1, Scope::Machine(instance(1)), Shape::Drift, 2.1),
            of(2, Scope::Group("web".into()), Shape::Stopped, 1.0),
        ]
    }

    #[test]
    fn a_day_is_one_of_the_reader_s_clock() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let daily = Daily { at: Time::constant(2, 30, 0, 0), quiet: false };
        let last = |now: &str| {
            let now: Timestamp = now.parse().unwrap();
            let last = daily.last(&berlin, now.as_second()).unwrap();
            Timestamp::from_second(last).unwrap().to_string()
        };
        assert_eq!(last("2026-01-15T01:29:59Z"), "2026-01-14T01:30:00Z");
        assert_eq!(last("2026-01-15T01:30:00Z"), "2026-01-15T01:30:00Z");
        assert_eq!(last("2026-07-15T12:00:00Z"), "2026-07-15T00:30:00Z");
        assert_eq!(last("2026-03-29T12:00:00Z"), "2026-03-29T01:30:00Z", "half past three");
        assert_eq!(last("2026-10-25T12:00:00Z"), "2026-10-25T00:30:00Z", "the first of two");
    }

    #[test]
    fn a_quiet_day_is_three_lines() {
        let digest = Digest {
            since: MORNING - 86_400,
            until: MORNING,
            paged: 0,
            pages: vec![],
            noticed: 0,
            notices: vec![],
            suppressed: 0,
            coverage: Coverage { watched: 1, ..Coverage::default() },
            level: PageLevel::default(),
        };
        let Alert { subject, text, .. } = worded(&digest, &[]);
        assert_eq!((subject.as_str(), text.lines().count()), ("deepguard: a quiet day", 3));
        assert!(text.contains("Nothing was unusual. Scored: 1 of 1 watched instance.\n"));
        let many: Vec<_> = quiet().into_iter().cycle().take(25).collect();
        let text = worded(&digest, &many).text;
        assert_eq!(text.lines().count(), 2 + MOST_QUIET + 2);
        assert!(text.contains(QUIET) && text.contains("- and 5 more\n"), "{text}");
    }
}
