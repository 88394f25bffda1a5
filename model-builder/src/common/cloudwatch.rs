//! Reads the account's own CPU history from CloudWatch.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use deepguard::baseline::calibrated_at;
use deepguard::series::{DAY_SECONDS, slot_start};
use deepguard::track::{LATE, days};
use deepguard::{Datapoint, Series};
use deepguard_aws::cloudwatch::pace::Rates;
use deepguard_aws::cloudwatch::plan;
use deepguard_aws::ids::TargetId;
use deepguard_aws::ports::{Batch, CallError, Cpu, Inventory, Read};
use deepguard_aws::tags::{TagRule, Tags};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};

use crate::common::history::Cache;

/// The rate of calls to CloudWatch: a fifth of an account's quota, so that the function and other
/// programs keep theirs.
pub(crate) const RATES: Rates = Rates { calls: 10.0, datapoints: 80_000.0 };
/// Calls that are under way at once.
const AT_ONCE: usize = 4;
/// How often the code checks whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// The instances to read, and the length of their history.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetArgs {
    /// Whole days of history before today. CloudWatch keeps five-minute datapoints for 63 days.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(5..=60))]
    pub(crate) days: u32,
    /// Only instances with this tag: `key=value`, `key=a|b`, or `key` for any value; given several
    /// times, all must match.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub(crate) tags: Vec<String>,
    /// Only this instance; may be given several times.
    #[arg(long = "instance", value_name = "ID")]
    pub(crate) instances: Vec<TargetId>,
    /// At most this number of instances: of a larger fleet, every second, third and so on.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) at_most: u32,
    /// Where complete days are kept, so that a second run reads only what is missing.
    #[arg(long, value_name = "DIR", default_value = "build/history")]
    pub(crate) cache: PathBuf,
}

impl FleetArgs {
    /// The days before `now` (seconds since 1970), and today so far.
    pub(crate) fn times(&self, now: i64) -> Range<i64> {
        let end = slot_start(now);
        calibrated_at(end) - i64::from(self.days) * DAY_SECONDS..end
    }

    /// The selected instances.
    ///
    /// # Errors
    /// Where a tag is malformed, the account does not answer, or no such instance exists.
    pub(crate) async fn select<C: Cpu, I: Inventory>(
        &self,
        cpu: &C,
        tags: &I,
    ) -> Result<BTreeSet<TargetId>> {
        let rule: TagRule = self.tags.join(",").parse()?;
        let mut instances: BTreeSet<TargetId> = match self.instances.is_empty() {
            true => cpu.instances().await?,
            false => self.instances.iter().cloned().collect(),
        };
        if !rule.is_empty() {
            let tagged: BTreeMap<TargetId, Tags> = tags.tagged(&rule).await?;
            instances.retain(|instance| tagged.contains_key(instance));
        }
        if instances.is_empty() {
            bail!(
                "no instance with CPU in the last three hours{}",
                if rule.is_empty() { "" } else { " has these tags" }
            );
        }
        let step = instances.len().div_ceil(self.at_most as usize);
        Ok(instances.into_iter().step_by(step).collect())
    }
}

/// The result of reading.
#[derive(Debug, Default)]
pub(crate) struct Pulled {
    /// The history of each instance that has any.
    pub(crate) history: BTreeMap<TargetId, Series>,
    /// Instances that could not be read, and why.
    pub(crate) unread: BTreeMap<TargetId, CallError>,
    /// Days of instances that were cached earlier, and those that were read.
    pub(crate) kept: usize,
    pub(crate) read: usize,
}

/// Reads the CPU of `instances` over `times` (seconds since 1970), unless it is in `cache`. Stores
/// complete days there.
///
/// # Errors
/// Where no instance can be read, the cache cannot be written, or `stop` is set. Days read until
/// then stay in the cache.
pub(crate) async fn pull<C: Cpu>(
    cpu: &C,
    instances: &BTreeSet<TargetId>,
    times: Range<i64>,
    cache: Option<&Cache>,
    stop: &AtomicBool,
) -> Result<Pulled> {
    let mut pulled = Pulled::default();
    let mut points: BTreeMap<&TargetId, BTreeMap<i64, f64>> = BTreeMap::new();
    let mut missing: BTreeMap<i64, Vec<(TargetId, i64)>> = BTreeMap::new();
    for instance in instances {
        let known = points.entry(instance).or_default();
        // Stretches of days that are not cached, each as (begin, end).
        let mut stretches: Vec<(i64, i64)> = Vec::new();
        for day in days(times.clone()) {
            let (begin, end) = (day.max(times.start), (day + DAY_SECONDS).min(times.end));
            match cache.and_then(|cache| cache.get(instance, day)) {
                Some(day) => {
                    pulled.kept += 1;
                    known.extend(day.iter().map(|point| (point.time, point.value)));
                }
                None => match stretches.last_mut() {
                    Some((_, before)) if *before == begin => *before = end,
                    _ => stretches.push((begin, end)),
                },
            }
        }
        for (begin, end) in stretches {
            missing.entry(end).or_default().push((instance.clone(), begin));
        }
    }
    let batches: Vec<Batch> =
        missing.into_iter().flat_map(|(end, wanted)| plan::batches(wanted, end)).collect();
    let bar = ProgressBar::new(batches.iter().map(|batch| batch.instances.len() as u64).sum());
    bar.set_style(ProgressStyle::with_template(
        "{elapsed_precise} {wide_bar} {pos}/{len} histories read, {eta} left",
    )?);
    let mut answers = futures_util::stream::iter(batches)
        .map(|batch| async move { (cpu.read(&batch).await, batch.times) })
        .buffer_unordered(AT_ONCE);
    loop {
        let answer = tokio::select! {
            biased;
            () = asked_to(stop) => {
                let kept = cache.map(|cache| {
                    let folder = cache.folder().display();
                    format!("; the days read are kept in {folder} for the next run")
                });
                bail!(
                    "interrupted after {} of {} histories{}",
                    bar.position(),
                    bar.length().unwrap_or_default(),
                    kept.unwrap_or_default()
                )
            }
            answer = answers.next() => answer,
        };
        let Some((answers, stretch)) = answer else { break };
        for (instance, answer) in answers {
            bar.inc(1);
            match answer {
                Ok(answer) => {
                    pulled.read += days(stretch.clone()).count();
                    keep(cache, &instance, &answer, stretch.clone(), times.end)?;
                    if let Some(known) =
                        instances.get(&instance).and_then(|instance| points.get_mut(instance))
                    {
                        known.extend(
                            answer.datapoints.iter().map(|point| (point.time, point.value)),
                        );
                    }
                }
                Err(error) => drop(pulled.unread.insert(instance, error)),
            }
        }
    }
    bar.finish_and_clear();
    if let Some(error) =
        pulled.unread.values().next().filter(|_| pulled.unread.len() == instances.len())
    {
        bail!("cannot read any of {} instances; the first: {error}", instances.len());
    }
    for (instance, points) in points {
        let within = points.into_iter().filter(|(time, _)| times.contains(time));
        if let Ok((series, _)) =
            Series::from_datapoints(within.map(|(time, value)| Datapoint { time, value }))
        {
            pulled.history.insert(instance.clone(), series);
        }
    }
    Ok(pulled)
}

/// Ends when `stop` is set.
async fn asked_to(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Caches the whole days of `stretch` that can get no more datapoints, if the answer is complete.
fn keep(
    cache: Option<&Cache>,
    instance: &TargetId,
    answer: &Read,
    stretch: Range<i64>,
    now: i64,
) -> Result<()> {
    let Some(cache) = cache.filter(|_| answer.whole) else { return Ok(()) };
    for day in days(stretch.clone()) {
        if day < stretch.start || day + DAY_SECONDS > stretch.end || day + DAY_SECONDS + LATE > now
        {
            continue;
        }
        let of_day = |point: &&Datapoint| (day..day + DAY_SECONDS).contains(&point.time);
        let mut points: Vec<Datapoint> = answer.datapoints.iter().filter(of_day).copied().collect();
        points.sort_by_key(|point| point.time);
        cache
            .put(instance, day, &points)
            .with_context(|| format!("cannot keep a day of {instance}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::testing::instance;

    /// 15 January 2026, noon.
    const NOW: i64 = 1_768_478_400;

    /// An account whose CPU is the number of the slot, and whose calls are written down.
    #[derive(Default)]
    struct Account {
        fails: Vec<TargetId>,
        partial: bool,
        calls: RefCell<Vec<Batch>>,
    }

    impl Cpu for Account {
        async fn instances(&self) -> Result<BTreeSet<TargetId>, CallError> {
            Ok((0..5).map(instance).collect())
        }

        async fn read(&self, batch: &Batch) -> Vec<(TargetId, Result<Read, CallError>)> {
            self.calls.borrow_mut().push(batch.clone());
            let slots = (batch.times.start..batch.times.end).step_by(300);
            let datapoints: Vec<_> =
                slots.map(|time| Datapoint { time, value: (time / 300 % 7) as f64 }).collect();
            let answer = |instance: &TargetId| match self.fails.contains(instance) {
                true => Err(CallError { operation: "GetMetricData", why: "no".into() }),
                false => Ok(Read { datapoints: datapoints.clone(), whole: !self.partial }),
            };
            batch.instances.iter().map(|instance| (instance.clone(), answer(instance))).collect()
        }
    }

    struct Tagged;

    impl Inventory for Tagged {
        async fn tagged(&self, rule: &TagRule) -> Result<BTreeMap<TargetId, Tags>, CallError> {
            let tags = |number| {
                Tags::from([("team".into(), if number < 2 { "web" } else { "db" }.into())])
            };
            let all = (0..9).map(|number| (instance(number), tags(number)));
            Ok(all.filter(|(_, tags)| rule.holds_for(tags)).collect())
        }

        async fn tags_of(
            &self,
            _: &BTreeSet<TargetId>,
        ) -> Result<BTreeMap<TargetId, Tags>, CallError> {
            Ok(BTreeMap::new())
        }
    }

    fn args(tags: &[&str], instances: &[usize], at_most: u32) -> FleetArgs {
        FleetArgs {
            days: 14,
            tags: tags.iter().map(|tag| tag.to_string()).collect(),
            instances: instances.iter().map(|&number| instance(number)).collect(),
            at_most,
            cache: PathBuf::new(),
        }
    }

    async fn run(
        account: &Account,
        cache: Option<&Cache>,
        days: i64,
        stop: bool,
    ) -> Result<Pulled> {
        let instances = (0..3).map(instance).collect();
        let times = calibrated_at(NOW) - days * DAY_SECONDS..NOW;
        pull(account, &instances, times, cache, &AtomicBool::new(stop)).await
    }

    #[tokio::test]
    async fn instances_are_chosen_by_tag_by_name_and_in_number() {
        let chosen = async |args: FleetArgs| {
            let chosen = args.select(&Account::default(), &Tagged).await;
            chosen.map(|chosen| chosen.into_iter().collect::<Vec<_>>())
        };
        let are =
            |numbers: &[usize]| numbers.iter().map(|&number| instance(number)).collect::<Vec<_>>();
        assert_eq!(chosen(args(&[], &[], 9)).await.unwrap(), are(&[0, 1, 2, 3, 4]));
        assert_eq!(chosen(args(&["team=web"], &[], 9)).await.unwrap(), are(&[0, 1]));
        assert_eq!(chosen(args(&["team=web|db"], &[3, 8], 9)).await.unwrap(), are(&[3, 8]));
        assert_eq!(chosen(args(&[], &[], 2)).await.unwrap(), are(&[0, 3]));
        for wrong in [args(&["team=none"], &[], 9), args(&["="], &[], 9)] {
            assert!(chosen(wrong).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_second_run_reads_only_what_is_missing_and_today_is_never_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let account = Account::default();
        let first = run(&account, Some(&cache), 5, false).await.unwrap();
        assert_eq!((first.kept, first.read), (0, 3 * 6));
        let second = run(&account, Some(&cache), 7, false).await.unwrap();
        assert_eq!((second.kept, second.read), (3 * 5, 3 * 3));
        let today = calibrated_at(NOW);
        let asked: Vec<_> =
            account.calls.borrow().iter().map(|batch| batch.times.clone()).collect();
        let before = today - 7 * DAY_SECONDS..today - 5 * DAY_SECONDS;
        assert_eq!(asked, [today - 5 * DAY_SECONDS..NOW, before, today..NOW]);
        assert_eq!(cache.get(&instance(1), today), None);
        let again = run(&Account::default(), None, 7, false).await.unwrap();
        assert_eq!(again.history, second.history);
        assert_eq!(again.history[&instance(0)].len() as i64, (7 * DAY_SECONDS + NOW - today) / 300);
    }

    #[tokio::test]
    async fn what_was_not_whole_is_used_and_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let account = Account { partial: true, ..Account::default() };
        assert_eq!(run(&account, Some(&cache), 5, false).await.unwrap().history.len(), 3);
        assert_eq!(run(&account, Some(&cache), 5, false).await.unwrap().kept, 0);
    }

    #[tokio::test]
    async fn one_that_fails_does_not_keep_the_others_and_all_do() {
        let account = Account { fails: vec![instance(1)], ..Account::default() };
        let pulled = run(&account, None, 5, false).await.unwrap();
        assert_eq!((pulled.history.len(), pulled.unread.len()), (2, 1));
        let account = Account { fails: (0..3).map(instance).collect(), ..Account::default() };
        let error = run(&account, None, 5, false).await.unwrap_err().to_string();
        assert!(error.contains("cannot read any of 3 instances"), "{error}");
    }

    #[tokio::test]
    async fn it_stops_when_asked_to_and_says_where_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(&Account::default(), Some(&Cache::new(folder.path())), 5, true)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("interrupted after 0 of 3") && error.contains("for the next run"),
            "{error}"
        );
    }
}
