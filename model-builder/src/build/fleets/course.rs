//! Follows a machine with the detector, and keeps of it what a page can depend on: its episodes,
//! and how severe each was when.

use deepguard::episode::{Change, End, Episode, Episodes, MOfN};
use deepguard::series::PERIOD;
use deepguard::{Detector, Scored, Series, Watch};

/// Seconds without datapoints after which CloudWatch does not list a machine any more, and its
/// episode is over.
const GONE: i64 = 3 * 3600;

/// One episode of a machine.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// As it began.
    pub(super) episode: Episode,
    /// Times (starts of datapoints, in seconds since 1970) at which the highest severity so far
    /// rose, and that severity. The first one is the begin of the episode.
    pub(super) rises: Vec<(i64, f64)>,
    /// Its end; `None` where it was open at the end.
    pub(super) over: Option<Over>,
}

/// The end of an episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Over {
    /// The start of the datapoint at which it was seen, in seconds since 1970.
    pub(super) seen: i64,
    /// The episode as it was then.
    pub(super) episode: Episode,
    pub(super) why: End,
    /// Since when it is over, in seconds since 1970.
    pub(super) at: i64,
}

impl Told {
    /// The start of the datapoint at which it began, in seconds since 1970.
    pub(super) fn began(&self) -> i64 {
        self.episode.told
    }

    /// The highest severity of it.
    pub(super) fn peak(&self) -> f64 {
        self.rises.last().map_or(self.episode.peak, |(_, severity)| *severity)
    }
}

/// The episodes of a machine, from its first datapoint to its last. One that is open there ends
/// when the machine is gone, unless that is at `end` (seconds since 1970), with which all end.
pub(super) fn follow(detector: &Detector, series: &Series, end: i64) -> Vec<Told> {
    told(&detector.follow(series, &mut Watch::default(), series.end()), end)
}

/// The episodes of these datapoints, oldest first.
pub(super) fn told(scored: &[Scored], end: i64) -> Vec<Told> {
    let mut episodes = Episodes::default();
    let mut told: Vec<Told> = Vec::new();
    let mut take = |changes: Vec<Change>, seen: i64, open: Option<&Episode>| {
        for change in changes {
            match change {
                Change::Began(episode, _) => {
                    let rises = vec![(episode.told, episode.peak)];
                    told.push(Told { episode, rises, over: None });
                }
                Change::Ended(episode, why, at) => {
                    if let Some(last) = told.last_mut() {
                        last.over = Some(Over { seen, episode, why, at });
                    }
                }
            }
        }
        if let (Some(open), Some(last)) = (open, told.last_mut())
            && open.peak > last.peak()
        {
            last.rises.push((seen, open.peak));
        }
    };
    for scored in scored {
        let changes = episodes.update(scored, MOfN::default());
        take(changes, scored.time, episodes.open());
    }
    if let Some(last) = scored.last()
        && last.time + PERIOD + GONE <= end
    {
        let newest = last.time + PERIOD;
        let changes = episodes.silent(newest, newest + GONE, || false);
        take(changes, newest + GONE - PERIOD, None);
    }
    told
}

#[cfg(test)]
mod tests {
    use deepguard::Datapoint;
    use deepguard::model::device;

    use super::*;
    use crate::build::workload::machine::{Kind, machine};
    use crate::build::workload::{DAY, series};
    use crate::testing::artifact;

    #[test]
    fn an_episode_is_followed_from_its_begin_to_its_end() {
        let mut values = machine(Kind::Web, 3, 16);
        let onset = 15 * DAY + 40;
        values[onset] = 80.0;
        values[onset + 1..onset + 6].fill(99.0);
        let series = series(&values).unwrap();
        let told = follow(&Detector::new(artifact(), &device()), &series, series.end());
        let found = told.iter().find(|told| told.began() == series.time_of(onset)).unwrap();
        assert!(found.rises.len() > 1, "it got worse: {found:?}");
        assert!(found.rises.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        let over = found.over.unwrap();
        assert!(over.seen > over.at && over.at >= series.time_of(onset + 6));
        assert_eq!((over.why, over.episode.peak), (End::Recovered, found.peak()));
        assert!(found.peak() > found.episode.peak);
    }

    #[test]
    fn the_episode_of_a_machine_that_is_gone_is_over() {
        let mut values = machine(Kind::Web, 3, 16);
        values.truncate(15 * DAY + 44);
        values[15 * DAY + 40..].fill(99.0);
        let series = series(&values).unwrap();
        let detector = Detector::new(artifact(), &device());
        let last = |end: i64| follow(&detector, &series, end).pop().unwrap();
        assert_eq!(last(series.end()).over, None);
        assert_eq!(last(series.end() + GONE - 1).over, None);
        let over = last(series.end() + GONE).over.unwrap();
        assert_eq!((over.why, over.at), (End::Gone, series.end()));
    }

    #[test]
    fn a_calm_machine_has_no_episode() {
        let points = (0..4 * DAY as i64)
            .map(|slot| Datapoint { time: slot * PERIOD, value: 20.0 + (slot % 3) as f64 });
        let series = Series::from_datapoints(points).unwrap().0;
        assert_eq!(follow(&Detector::new(artifact(), &device()), &series, i64::MAX), []);
    }
}
