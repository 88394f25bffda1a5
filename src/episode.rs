//! Episodes: from the datapoint at which an alert is due to the datapoint at which it is over.
//!
//! Scores are about datapoints. An episode wakes a person: it begins once, however long it
//! lasts. It ends when the instance has been back for half an hour, or does not report any more. It
//! also ends when the deviation has lasted for a day and has become the new usual.

use serde::{Deserialize, Serialize};

use crate::channel::Measure;
use crate::scored::Scored;
use crate::series::{DAY_SECONDS, PERIOD};
use crate::shape::Shape;

/// The number of calm datapoints in a row that end an episode: half an hour.
const CALM: u32 = 6;
/// The longest episode, in seconds. A deviation that has lasted this long is the new usual: its
/// errors are among the usual ones from then on.
const LONGEST: i64 = DAY_SECONDS;
/// Seconds without a datapoint after which an instance that should report does not: half an hour.
pub const SILENT: i64 = 6 * PERIOD;
/// Seconds without a datapoint after which an episode gets no more messages: as long as CloudWatch
/// lists an instance.
const GONE: i64 = 3 * 3600;
/// How long a forecast remembers an episode that is over, in seconds. It has the slots of a day as
/// inputs, and forecasts two hours.
const ECHO: i64 = DAY_SECONDS + 2 * 3600;
/// An instance is back once its deviation is below this part of the earlier one.
const BACK: f64 = 0.5;
/// A jump to this many times the highest severity of an episode is an episode of its own.
pub(crate) const WORSE: f64 = 2.0;
/// The upper bound of [`MOfN`], in datapoints.
pub const LARGEST_N: u32 = 24;

/// How many of how many datapoints have to be unusual for an episode to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MOfN {
    m: u32,
    n: u32,
}

impl Default for MOfN {
    /// The first one counts.
    fn default() -> Self {
        Self { m: 1, n: 1 }
    }
}

impl MOfN {
    /// `m` of `n`, at least 1 and at most [`LARGEST_N`].
    pub fn new(m: u32, n: u32) -> Option<Self> {
        (1 <= m && m <= n && n <= LARGEST_N).then_some(Self { m, n })
    }
}

/// The episodes of one instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Episodes {
    /// A bit for each of the newest slots, the newest the lowest: whether its severity was that of
    /// an anomaly.
    unusual: u32,
    /// Start of the newest datapoint that was seen, in seconds since 1970.
    newest: Option<i64>,
    /// Start of the newest datapoint at which an alarm began that was not reported.
    alarm: Option<i64>,
    open: Option<Episode>,
    /// When the last episode was over, in seconds since 1970, and its distance from usual when it
    /// was reported, in percentage points.
    over: Option<(i64, f64)>,
}

/// An episode that has begun and is not over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Start of the first datapoint of it, in seconds since 1970.
    pub since: i64,
    /// Start of the datapoint at which it was reported, in seconds since 1970.
    pub told: i64,
    /// The kind of anomaly.
    pub shape: Shape,
    /// The highest severity so far; 1.0 is the threshold.
    pub peak: f64,
    /// Its distance from usual when it was reported, in percentage points.
    deviation: f64,
    /// The CPU that was measured then.
    observed: f64,
    /// Datapoints in a row that were as usual, ...
    calm: u32,
    /// ... and the start of the first of them.
    calm_since: i64,
}

/// Why an episode is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It has been as usual for half an hour.
    Recovered,
    /// It has lasted for a day and is the new usual.
    BecameUsual,
    /// The instance does not report any more.
    Gone,
    /// Something much worse has begun, as an episode of its own.
    Worsened,
}

/// What happens to an episode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// An episode begins. Holds the datapoint at which it does, unless it is that datapoints are
    /// missing.
    Began(Episode, Option<Scored>),
    /// An episode is over, at a time in seconds since 1970.
    Ended(Episode, End, i64),
}

impl Change {
    /// The episode as it was at that time.
    pub fn episode(&self) -> &Episode {
        match self {
            Self::Began(episode, _) | Self::Ended(episode, _, _) => episode,
        }
    }
}

impl Episodes {
    /// The episode that has begun and is not over.
    pub fn open(&self) -> Option<&Episode> {
        self.open.as_ref()
    }

    /// Takes a scored datapoint in that came as soon as its period was over. A muted one changes
    /// nothing.
    pub fn update(&mut self, scored: &Scored, rule: MOfN) -> Vec<Change> {
        self.update_at(scored, rule, scored.time + PERIOD)
    }

    /// Takes a scored datapoint in at the time `now` (seconds since 1970).
    ///
    /// That an instance reports again is only known from a recent datapoint: an old one says that
    /// CloudWatch is late, and ends no episode of missing datapoints.
    pub fn update_at(&mut self, scored: &Scored, rule: MOfN, now: i64) -> Vec<Change> {
        if scored.muted {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let unusual = scored.severity.is_anomalous();
        let outdone = self.open.filter(|episode| episode.is_outdone_by(scored));
        let slots = self.newest.map_or(0, |newest| (scored.time - newest) / PERIOD);
        match u32::try_from(slots) {
            Ok(slots) => {
                self.unusual = self.unusual.checked_shl(slots).unwrap_or(0) | u32::from(unusual);
                self.newest = Some(scored.time);
                changes.extend(self.goes_on(scored, now));
            }
            // It came late: those after it have been looked at.
            Err(_) => {
                self.unusual |=
                    u32::from(unusual).checked_shl(slots.unsigned_abs() as u32).unwrap_or(0)
            }
        }
        if scored.is_alarm() && !self.is_echo(scored) {
            self.alarm = Some(scored.time);
        }
        let recent = scored.time - (i64::from(rule.n) - 1) * PERIOD;
        let back = u32::try_from(-slots.min(0)).unwrap_or(u32::MAX);
        let newest =
            self.unusual.checked_shr(back).unwrap_or(0) & (u32::MAX >> (u32::BITS - rule.n));
        let enough = newest.count_ones() >= rule.m;
        if let Some(episode) = outdone
            && enough
            && self.open.take().is_some()
        {
            changes.push(Change::Ended(episode, End::Worsened, scored.time));
        }
        if self.open.is_none() && enough && self.alarm.is_some_and(|alarm| alarm >= recent) {
            self.alarm = None;
            let since =
                scored.finding.map_or(scored.time, |finding| finding.since.min(scored.time));
            let episode = Episode {
                since,
                told: scored.time,
                shape: scored.finding.map_or(Shape::Unrest, |finding| finding.shape),
                peak: scored.severity.value(),
                deviation: scored.deviation(),
                observed: scored.observed,
                calm: 0,
                calm_since: scored.time,
            };
            self.open = Some(episode);
            changes.push(Change::Began(episode, Some(*scored)));
        }
        changes
    }

    /// Whether an alarm is an echo. After an episode the instance is back at the usual values of
    /// the hour, and only its forecast is not.
    fn is_echo(&self, scored: &Scored) -> bool {
        self.over.is_some_and(|(over, deviation)| {
            scored.time - over < ECHO && scored.deviation().abs() < BACK * deviation.abs()
        })
    }

    /// Applies a datapoint to the current episode, at the time `now` (seconds since 1970). The
    /// datapoint is newer than all before it.
    fn goes_on(&mut self, scored: &Scored, now: i64) -> Option<Change> {
        let episode = self.open.as_mut()?;
        let end = |episode: &Episode, why, at| Some(Change::Ended(*episode, why, at));
        let change = if episode.shape == Shape::Stopped {
            let is_recent = now - (scored.time + PERIOD) < SILENT;
            is_recent.then_some(Change::Ended(*episode, End::Recovered, scored.time))
        } else {
            episode.peak = episode.peak.max(scored.severity.value());
            match episode.lasts_with(scored) {
                true => episode.calm = 0,
                false => {
                    if episode.calm == 0 {
                        episode.calm_since = scored.time;
                    }
                    episode.calm += 1;
                }
            }
            match () {
                () if episode.calm >= CALM => end(episode, End::Recovered, episode.calm_since),
                () if scored.time - episode.told >= LONGEST => {
                    end(episode, End::BecameUsual, scored.time)
                }
                () => None,
            }
        };
        if change.is_some() {
            self.over = Some((scored.time, episode.deviation));
            self.open = None;
            // The pending alarm was about this episode, and ends with it.
            self.alarm = None;
        }
        change
    }

    /// Looks at an instance whose newest datapoint ended at `end`, at the time `until` (seconds
    /// since 1970). Whether it `should` report is asked of the time since then.
    pub fn silent(&mut self, end: i64, until: i64, should: impl FnOnce() -> bool) -> Vec<Change> {
        let silent = until - end;
        match &self.open {
            Some(episode) if episode.shape == Shape::Stopped => {
                let ended = (until - episode.told >= LONGEST).then_some(Change::Ended(
                    *episode,
                    End::BecameUsual,
                    until,
                ));
                self.open = self.open.filter(|_| ended.is_none());
                ended.into_iter().collect()
            }
            Some(episode) => {
                let ended = (silent >= GONE).then_some(Change::Ended(*episode, End::Gone, end));
                self.open = self.open.filter(|_| ended.is_none());
                ended.into_iter().collect()
            }
            None if (SILENT..GONE).contains(&silent) && should() => {
                let told = until - PERIOD;
                let episode = Episode {
                    since: end,
                    told,
                    shape: Shape::Stopped,
                    peak: 1.0,
                    deviation: 0.0,
                    observed: 0.0,
                    calm: 0,
                    calm_since: told,
                };
                self.open = Some(episode);
                vec![Change::Began(episode, None)]
            }
            None => Vec::new(),
        }
    }
}

impl Episode {
    /// Whether it is of more CPU than usual, and not of less; `None` where no datapoints come.
    pub fn is_up(&self) -> Option<bool> {
        (self.shape != Shape::Stopped).then_some(self.deviation >= 0.0)
    }

    /// Whether a deviation from the usual value at the hour (percentage points) is still a large
    /// part of the first one.
    fn is_off(&self, deviation: f64) -> bool {
        deviation * self.deviation > 0.0 && deviation.abs() >= BACK * self.deviation.abs()
    }

    /// Whether an alarm differs from the current episode. It has to be a jump within the last five
    /// or thirty minutes, at least [`WORSE`] times as severe as all of the episode. It has to come
    /// half an hour after the report or later. A deviation that only grows is the same episode.
    fn is_outdone_by(&self, scored: &Scored) -> bool {
        let jump = scored.channel.is_some_and(|channel| {
            matches!(channel.measure(), Measure::Forecast { horizon: 0 | 1, .. })
        });
        jump && scored.is_alarm()
            && scored.time - self.told >= i64::from(CALM) * PERIOD
            && scored.score.value() >= WORSE * self.peak
    }

    /// Whether the episode still goes on.
    fn lasts_with(&self, scored: &Scored) -> bool {
        let deviation = scored.deviation();
        match self.shape {
            Shape::Flatline => scored.observed == self.observed,
            Shape::Unrest | Shape::Stopped | Shape::UnlikePeers => scored.severity.is_anomalous(),
            // After an anomaly the forecast needs a while to come back, too: a value on the other
            // side of it is the end.
            _ if (scored.observed - scored.expected) * self.deviation < 0.0 => {
                self.is_off(deviation)
            }
            _ => scored.outside || self.is_off(deviation),
        }
    }
}

#[cfg(test)]
impl Episode {
    /// The same below the usual value.
    pub(crate) fn of_less(self) -> Self {
        Self { deviation: -self.deviation, ..self }
    }

    /// An episode that was reported at `told` (seconds since 1970).
    pub(crate) fn of(told: i64, shape: Shape, peak: f64) -> Self {
        Self {
            since: told,
            told,
            shape,
            peak,
            deviation: 20.0,
            observed: 50.0,
            calm: 0,
            calm_since: told,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
