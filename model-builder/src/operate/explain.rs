//! Draws instances from their history, scored by the same code as everywhere, and describes one
//! moment in words.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use comfy_table::Table;
use deepguard::baseline::{HISTORY, Phase};
use deepguard::channel::Channel;
use deepguard::detector::rebuild_from;
use deepguard::series::{PERIOD, slot_start};
use deepguard::{Detector, Scored, Watch};
use deepguard_aws::cloudwatch::CloudWatch;
use deepguard_aws::ids::TargetId;
use indicatif::ProgressIterator;
use jiff::Timestamp;

use crate::common::access;
use crate::common::cloudwatch::{RATES, pull};
use crate::common::csv::{Csv, read_series};
use crate::common::history::History;
use crate::common::models;
use crate::common::picture::{self, PANEL, Panel, clock};
use crate::common::time::seconds;

/// The most instances that one picture holds.
const MAX_INSTANCES: usize = 60;

/// Published scores by instance: time and value.
type PublishedScores = BTreeMap<String, Vec<(i64, f64)>>;

/// The view of each instance to draw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// How many hours.
    pub(crate) hours: u32,
    /// The moment that they are around, in seconds since 1970; the end of the history unless given.
    pub(crate) at: Option<i64>,
}

impl View {
    /// The stretch to draw of a history that ends at `end` (seconds since 1970). A quarter of it is
    /// after the moment.
    fn times(self, end: i64) -> Range<i64> {
        let seconds = i64::from(self.hours) * 3600;
        let end = self.at.map_or(end, |at| end.min(at + seconds / 4));
        end - seconds..end
    }

    /// The history needed to score the drawn stretch as the function would have scored it, up to
    /// `now` (seconds since 1970).
    fn needs(self, now: i64) -> Range<i64> {
        let Range { start, end } = self.times(slot_start(now));
        rebuild_from(start) - HISTORY as i64 * PERIOD..slot_start(end + PERIOD - 1)
    }
}

/// Draws each instance.
///
/// # Errors
/// Where `published` cannot be read or the picture cannot be written.
pub(crate) fn explain(
    detector: &Detector,
    history: &History,
    published: Option<&Path>,
    view: View,
    out: &Path,
) -> Result<()> {
    let published = published.map_or_else(|| Ok(PublishedScores::new()), read_published)?;
    let mut scored = Vec::new();
    for (instance, series) in history.iter().progress() {
        let times = view.times(series.end());
        let mut all = detector.follow(series, &mut Watch::default(), times.end);
        all.retain(|scored| scored.time >= times.start);
        scored.push((instance, all));
    }
    const HEAD: u32 = 80;
    let version = detector.artifact().version();
    let heading = match view.at {
        Some(at) => format!("{} hours around {}, model {version}", view.hours, clock(at)),
        None => format!("The last {} hours, model {version}", view.hours),
    };
    picture::png(out, HEAD + PANEL * scored.len() as u32, |area| {
        let (head, mut rest) = area.split_vertically(HEAD);
        picture::legend(&head, &heading)?;
        for (instance, scored) in &scored {
            let (panel, below) = rest.split_vertically(PANEL);
            let title = match moment(scored, view.at) {
                Some(scored) => format!(
                    "{instance}   {}   CPU {:.1} %, expected {}, score {:.2}",
                    clock(scored.time),
                    scored.observed,
                    expected(scored),
                    scored.score.value()
                ),
                None => instance.to_string(),
            };
            let published = published.get(*instance).map_or(&[][..], Vec::as_slice);
            Panel { title, scored, windows: &[], published, at: view.at }.draw(&panel)?;
            rest = below;
        }
        Ok(())
    })?;
    println!("{}", table(&scored));
    if view.at.is_some() {
        for (instance, scored) in &scored {
            println!(
                "{instance}: {}",
                moment(scored, view.at).map_or("nothing was scored there".into(), in_words)
            );
        }
    }
    println!("picture: {}", out.display());
    Ok(())
}

/// The datapoint at `at` (seconds since 1970), or the newest before it. Without `at`, the newest of
/// all.
fn moment(scored: &[Scored], at: Option<i64>) -> Option<&Scored> {
    scored.iter().rfind(|scored| at.is_none_or(|at| scored.time <= at))
}

/// The expected value of a datapoint, and its band, limited to possible CPU values.
fn expected(scored: &Scored) -> String {
    let [low, high] = [scored.low, scored.high].map(|end| end.clamp(0.0, 100.0));
    format!("{:.1} % ({low:.1} to {high:.1} %)", scored.expected)
}

/// Describes one datapoint.
fn in_words(scored: &Scored) -> String {
    let of = match scored.channel {
        Some(Channel::SpikeUp | Channel::SpikeDown) => "the datapoint itself",
        Some(Channel::BurstUp | Channel::BurstDown) => "the last half hour",
        Some(Channel::HoursUp | Channel::HoursDown) => "the last two hours",
        Some(Channel::StaysLow) => "that it stays so low",
        Some(Channel::StaysHigh) => "that it stays so high",
        Some(Channel::PeersUp | Channel::PeersDown) => "the last two hours beside its group",
        None => "a value that does not change",
    };
    let verdict = match (scored.is_alarm(), scored.score.is_anomalous()) {
        (true, _) => "an alarm begins here",
        (false, true) => "an anomaly",
        (false, false) => "no anomaly",
    };
    let phase = match scored.phase {
        Phase::NoBaseline => "no baseline",
        Phase::Borrowed => "a borrowed baseline",
        Phase::Own => "its own baseline",
        Phase::Group => "its group's baseline",
    };
    format!(
        "at {} CPU was {:.2} %, expected {}; score {:.2} ({verdict}), most unusual is {of}; judged \
         by {phase}",
        Timestamp::from_second(scored.time)
            .map_or_else(|_| scored.time.to_string(), |time| time.to_string()),
        scored.observed,
        expected(scored),
        scored.score.value()
    )
}

/// The history of `instances` from CloudWatch, as much as `view` needs.
///
/// # Errors
/// Where none is named, one has no datapoints there, or `stop` is set.
pub(crate) fn pull_history(instances: &[String], view: View, stop: &AtomicBool) -> Result<History> {
    ensure!(
        !instances.is_empty(),
        "name an --instance to read from CloudWatch, or a folder with --history"
    );
    ensure!(
        instances.len() <= MAX_INSTANCES,
        "a picture holds {MAX_INSTANCES} instances: name fewer"
    );
    let named =
        instances.iter().map(|name| name.parse()).collect::<Result<BTreeSet<TargetId>, _>>()?;
    let times = view.needs(models::now().as_second());
    let pulled = access::with_aws(async |config, _| {
        let cloudwatch =
            CloudWatch::new(aws_sdk_cloudwatch::Client::new(&config), "DeepGuard", RATES);
        pull(&cloudwatch, &named, times.clone(), None, stop).await
    })?;
    for instance in &named {
        if let Some(error) = pulled.unread.get(instance) {
            bail!("{instance}: {error}");
        }
        ensure!(
            pulled.history.contains_key(instance),
            "CloudWatch has no CPU of {instance} in that time"
        );
    }
    Ok(pulled
        .history
        .into_iter()
        .map(|(instance, series)| (instance.to_string(), series))
        .collect())
}

/// The newest datapoint of each instance, and the highest score of those that were drawn.
fn table(scored: &[(&String, Vec<Scored>)]) -> Table {
    let mut table = Table::new();
    table.set_header(["instance", "newest", "CPU %", "expected", "score", "highest score", "at"]);
    for (instance, scored) in scored {
        let highest = scored.iter().max_by(|a, b| a.score.value().total_cmp(&b.score.value()));
        match (scored.last(), highest) {
            (Some(newest), Some(highest)) => table.add_row([
                instance.to_string(),
                clock(newest.time),
                format!("{:.2}", newest.observed),
                expected(newest),
                format!("{:.2}", newest.score.value()),
                format!("{:.2}", highest.score.value()),
                clock(highest.time),
            ]),
            _ => table.add_row([instance, "nothing was scored"]),
        };
    }
    table
}

/// The history of every `<instance>.csv` in `folder`, or of those in `wanted` if any is named.
///
/// # Errors
/// Where a file is missing or cannot be read, or there are more than one picture holds.
pub(crate) fn read_history(folder: &Path, wanted: &[String]) -> Result<History> {
    let mut names = wanted.to_vec();
    if names.is_empty() {
        for entry in std::fs::read_dir(folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
        {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".csv").map(str::to_string));
        }
    }
    match names.len() {
        0 => bail!("no .csv file in {}", folder.display()),
        count if count > MAX_INSTANCES => {
            bail!(
                "{count} instances in {}, a picture holds {MAX_INSTANCES}: name some",
                folder.display()
            )
        }
        _ => names
            .into_iter()
            .map(|name| Ok((name.clone(), read_series(&folder.join(name + ".csv"))?)))
            .collect(),
    }
}

fn read_published(path: &Path) -> Result<PublishedScores> {
    let csv = Csv::read(path)?;
    let read = || {
        let mut published = PublishedScores::new();
        let [instance, time, metric, value] =
            ["instance", "time", "metric", "value"].map(|name| csv.column(&[name]));
        let row = |[instance, time, metric, value]: [&str; 4]| {
            let value = value.parse().with_context(|| format!("`{value}` is no number"))?;
            Ok((metric == "AnomalyScore").then_some((instance.to_string(), seconds(time)?, value)))
        };
        for (instance, time, value) in
            csv.map([instance?, time?, metric?, value?], row)?.into_iter().flatten()
        {
            published.entry(instance).or_default().push((time, value));
        }
        Ok::<_, anyhow::Error>(published)
    };
    read().with_context(|| format!("in {}", path.display()))
}

#[cfg(test)]
mod tests {
    use deepguard::Series;

    use super::*;

    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let told = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| name.to_string()).collect();
            format!("{:#}", read_history(folder.path(), &wanted).unwrap_err())
        };
        assert!(told(&[]).contains("no .csv file"));
        let cases = [
            ("", "the file is empty"),
            ("when,what\n", "it has to name a column `value`"),
            ("time,value\n", "no usable datapoint"),
            ("time,value\nnow,1\n", "line 2: `now` is no time"),
            ("time,value\n2026-01-01T00:00:00Z,x\n", "`x` is no number"),
            ("time,value\n0,1\n3600,1\n7200,1\n", "the rows are 60 minutes apart"),
        ];
        for (content, reason) in cases {
            std::fs::write(folder.path().join("i-1.csv"), content).unwrap();
            let told = told(&[]);
            assert!(told.contains("i-1.csv") && told.contains(reason), "{content:?}: {told}");
        }
        assert!(told(&["i-2"]).contains("i-2.csv"));
    }

    #[test]
    fn the_instances_asked_for_are_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["i-1.csv", "i-2.csv", "replay.json"] {
            std::fs::write(folder.path().join(name), "time,value\n2026-01-01T00:00:00Z,1\n")
                .unwrap();
        }
        let names = |wanted: &[String]| {
            read_history(folder.path(), wanted).unwrap().into_keys().collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["i-1", "i-2"]);
        assert_eq!(names(&["i-2".into()]), ["i-2"]);
    }

    #[test]
    fn a_moment_has_a_quarter_of_the_hours_after_it_and_enough_before() {
        let end = 1_768_478_400;
        let view = |at| View { hours: 24, at };
        assert_eq!(view(None).times(end), end - 24 * 3600..end);
        assert_eq!(view(Some(end - 86_400)).times(end), end - 42 * 3600..end - 18 * 3600);
        assert_eq!(
            view(Some(end - 60)).times(end),
            end - 24 * 3600..end,
            "the future cannot be drawn"
        );
        let needed = view(None).needs(end + 7);
        assert_eq!(needed, rebuild_from(end - 24 * 3600) - 14 * 86_400..end);
    }

    #[test]
    fn a_moment_is_told_in_words() {
        let machine = &crate::build::simulate::fleet(7, 1_768_478_400)[0];
        let (fault, points) = (machine.fault.unwrap(), machine.datapoints.iter().copied());
        let series = Series::from_datapoints(points).unwrap().0;
        let detector = Detector::new(crate::testing::artifact(), &deepguard::model::device());
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("moment.png");
        let history = History::from([("i-1a2b3c4d".to_string(), series.clone())]);
        explain(&detector, &history, None, View { hours: 24, at: Some(fault) }, &out).unwrap();
        assert!(out.exists());
        let scored = detector.follow(&series, &mut Watch::default(), series.end());
        let told = in_words(moment(&scored, Some(fault + 100)).unwrap());
        assert!(
            told.contains("(an alarm begins here), most unusual is the datapoint itself"),
            "{told}"
        );
        let told = in_words(moment(&scored, Some(fault - 86_400)).unwrap());
        assert!(
            told.contains("(no anomaly)") && told.contains("judged by its own baseline"),
            "{told}"
        );
        assert!(moment(&scored, Some(0)).is_none());
    }
}
