//! Scores the last days of every instance with both models, as the function would have scored them.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use deepguard::episode::{Change, Episodes, MOfN};
use deepguard::series::DAY_SECONDS;
use deepguard::{Detector, Scored, Series, Watch};
use deepguard_aws::cloudwatch::plan;
use deepguard_aws::ids::TargetId;
use deepguard_aws::ports::{Cpu, Read};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::verdict::{Comparison, LabelResult, Pair, Side};
use crate::common::labels::{Labels, is_raised};
use crate::common::parallel::parallel;

/// Days that are read before the compared days: two weeks for the first baseline, and two days for
/// the usual errors after it.
const BEFORE: i64 = 16;

/// Two models, and the data to compare them on.
pub(super) struct Contest<'a> {
    pub(super) candidate: Detector,
    pub(super) current: Detector,
    pub(super) labels: &'a Labels,
    /// Seconds since 1970.
    pub(super) times: Range<i64>,
}

/// The rule for when a new episode is reported.
pub(crate) fn pages(scored: &[Scored]) -> Vec<i64> {
    let mut episodes = Episodes::default();
    let changes = scored.iter().flat_map(|scored| episodes.update(scored, MOfN::default()));
    let began = changes.filter_map(|change| match change {
        Change::Began(episode, _) => Some(episode.told),
        Change::Ended(..) => None,
    });
    began.collect()
}

impl Contest<'_> {
    /// Reads the fleet and scores it twice.
    ///
    /// # Errors
    /// Where the instances cannot be listed, or no instance can be read.
    pub(super) async fn compare<C: Cpu>(&self, cpu: &C) -> Result<Comparison> {
        let mut instances = cpu.instances().await?;
        // An instance that was labelled and has stopped since is no longer listed.
        instances.extend(self.labels_in_reach().map(|label| label.instance.clone()));
        let count = instances.len();
        let bar = ProgressBar::new(count as u64).with_style(ProgressStyle::with_template(
            "{elapsed_precise} {wide_bar} {pos}/{len} instances, {eta} left",
        )?);
        let start = self.times.start - BEFORE * DAY_SECONDS;
        let time = |second: i64| Timestamp::from_second(second).context("no valid time");
        let mut comparison = Comparison::new(time(self.times.start)?, time(self.times.end)?);
        let wanted = instances.into_iter().map(|instance| (instance, start));
        for batch in plan::batches(wanted, self.times.end) {
            let answers = cpu.read(&batch).await;
            let mut read: Vec<(TargetId, Read)> = Vec::new();
            for (instance, answer) in answers {
                match answer {
                    Ok(answer) => read.push((instance, answer)),
                    Err(error) => drop(comparison.unread.insert(instance, error.to_string())),
                }
            }
            let scored = parallel(&read, &AtomicBool::new(false), |(instance, read)| {
                let scored = self.score(instance, read);
                bar.inc(1);
                Ok(scored)
            })?;
            for ((instance, _), scored) in read.into_iter().zip(scored) {
                match scored {
                    Some((pair, judged)) => {
                        comparison.labels.extend(judged);
                        comparison.instances.insert(instance, pair);
                    }
                    None => comparison.unscored += 1,
                }
            }
        }
        bar.finish_and_clear();
        if let Some(why) =
            comparison.unread.values().next().filter(|_| comparison.unread.len() == count)
        {
            bail!("cannot read any of {count} instances; the first: {why}");
        }
        comparison.unjudged = self.labels.iter().count() - comparison.labels.len();
        Ok(comparison)
    }

    fn labels_in_reach(&self) -> impl Iterator<Item = &crate::common::labels::Label> {
        let within = |label: &&crate::common::labels::Label| {
            let range = label.range();
            range.start < self.times.end && range.end > self.times.start
        };
        self.labels.iter().filter(within)
    }

    /// Both models' results on an instance and its labels; `None` with too little history.
    fn score(&self, instance: &TargetId, read: &Read) -> Option<(Pair, Vec<LabelResult>)> {
        let (series, _) = Series::from_datapoints(read.datapoints.iter().copied()).ok()?;
        let [current, candidate] = [&self.current, &self.candidate].map(|detector| {
            let mut scored = detector.follow(&series, &mut Watch::default(), self.times.end);
            scored.retain(|scored| self.times.contains(&scored.time));
            scored
        });
        let first = current.first()?.time.max(candidate.first()?.time);
        let labels = self.labels_in_reach().filter(|label| label.instance == *instance);
        let judged = labels.filter(|label| label.range().end > first).map(|label| {
            let reach = label.reach();
            let raises = |scored: &[Scored]| is_raised(scored, &reach);
            LabelResult {
                label: label.clone(),
                current: raises(&current),
                candidate: raises(&candidate),
            }
        });
        let judged = judged.collect();
        Some((Pair { current: side(&current), candidate: side(&candidate) }, judged))
    }
}

fn side(scored: &[Scored]) -> Side {
    let pages = pages(scored).into_iter().filter_map(|time| Timestamp::from_second(time).ok());
    Side { scored: scored.len(), pages: pages.collect() }
}

/// For tests: a comparison made by hand.
#[cfg(test)]
pub(super) fn pair(current: &[i64], candidate: &[i64], scored: usize) -> Pair {
    let side = |pages: &[i64]| Side {
        scored,
        pages: pages.iter().map(|&time| Timestamp::from_second(time).unwrap()).collect(),
    };
    Pair { current: side(current), candidate: side(candidate) }
}
