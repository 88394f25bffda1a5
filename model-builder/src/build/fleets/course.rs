//! Follows a machine with the detector, and keeps of it what a page can depend on: its episodes,
//! and how severe each was when.

use deepguard::episode::{Change, Episodes, MOfN};
use deepguard::series::PERIOD;
use deepguard::{Detector, Scored, Series, Watch};

/// One episode of a machine.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// Times (starts of datapoints, in seconds since 1970) at which the highest severity so far
    /// rose, and that severity. The first one is the begin of the episode.
    pub(super) rises: Vec<(i64, f64)>,
    /// When it was over, in seconds since 1970; `None` where it was open at the end.
    pub(super) over: Option<i64>,
}

impl Told {
    /// The start of the datapoint at which it began, in seconds since 1970.
    pub(super) fn began(&self) -> i64 {
        self.rises[0].0
    }

    /// The highest severity of it.
    pub(super) fn peak(&self) -> f64 {
        self.rises[self.rises.len() - 1].1
    }

    /// The start of the datapoint at which its severity reached `level`, in seconds since 1970.
    pub(super) fn reached(&self, level: f64) -> Option<i64> {
        self.rises.iter().find(|(_, severity)| *severity >= level).map(|(time, _)| *time)
    }
}

/// The episodes of a machine, from its first datapoint to its last.
pub(super) fn follow(detector: &Detector, series: &Series) -> Vec<Told> {
    told(&detector.follow(series, &mut Watch::default(), series.end()))
}

/// The episodes of these datapoints, oldest first.
pub(super) fn told(scored: &[Scored]) -> Vec<Told> {
    let mut episodes = Episodes::default();
    let mut told: Vec<Told> = Vec::new();
    for scored in scored {
        for change in episodes.update(scored, MOfN::default()) {
            match change {
                Change::Began(episode, _) => {
                    told.push(Told { rises: vec![(episode.told, episode.peak)], over: None });
                }
                Change::Ended(..) => {
                    if let Some(last) = told.last_mut() {
                        last.over = Some(scored.time + PERIOD);
                    }
                }
            }
        }
        if let (Some(open), Some(last)) = (episodes.open(), told.last_mut())
            && open.peak > last.peak()
        {
            last.rises.push((scored.time, open.peak));
        }
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
        let told = follow(&Detector::new(artifact(), &device()), &series);
        let found = told.iter().find(|told| told.began() == series.time_of(onset)).unwrap();
        assert!(found.rises.len() > 1, "it got worse: {found:?}");
        assert!(found.rises.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        assert!(found.over.unwrap() > series.time_of(onset + 6));
        let first = found.rises[0].1;
        assert_eq!(found.reached(first), Some(found.began()));
        assert_eq!(found.reached(found.peak()), Some(found.rises[found.rises.len() - 1].0));
        assert_eq!(found.reached(2.0 * found.peak()), None);
    }

    #[test]
    fn a_calm_machine_has_no_episode() {
        let points = (0..4 * DAY as i64)
            .map(|slot| Datapoint { time: slot * PERIOD, value: 20.0 + (slot % 3) as f64 });
        let series = Series::from_datapoints(points).unwrap().0;
        assert_eq!(follow(&Detector::new(artifact(), &device()), &series), []);
    }
}
