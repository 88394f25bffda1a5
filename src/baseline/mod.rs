//! The usual CPU of one instance, learnt from its own history.
//!
//! A baseline is made once a day, at midnight UTC, from the two weeks before. Every datapoint of
//! that day is scored against it.

pub mod forecast;
mod guess;
pub mod hours;
pub mod level;
pub(crate) mod off;
pub mod profile;
pub(crate) mod residual;

use serde::{Deserialize, Deserializer, Serialize};

use crate::channel::{CHANNELS, Errors};
use crate::holidays::Holidays;
use crate::series::{DAY, DAY_SECONDS, PERIOD, RESOLUTIONS, Series};
use crate::zone::{Clocks, Zone};
use forecast::{Compressed, Forecasts, HORIZONS};
use hours::{Hours, Range};
use level::Level;
use off::DaysOff;
use profile::Profile;

/// Days of history behind a baseline.
pub const HISTORY_DAYS: usize = 14;
/// Slots of history behind a baseline. Older values change nothing, so a datapoint has the
/// same score however much history was read.
pub const HISTORY: usize = HISTORY_DAYS * DAY;
/// The minimum number of datapoints for a baseline: half a day's worth.
pub const MIN_DATAPOINTS: usize = DAY / 2;
/// Slots before noon from which an instance that had too little history at midnight learns its
/// first baseline: 14 hours. The newest slots that scoring remembers reach back this far until
/// midnight.
pub const NEWBORN: usize = 14 * DAY / 24;
/// Slots by which a datapoint may be early or late.
const LENIENCE: i64 = 3;
/// Days since its first datapoint from which an instance is no longer called young.
pub const OWN_DAYS: usize = 3;
/// A history of no more days than this stands for the first day of scores: see
/// [`Baseline::largest`].
const YOUNG_DAYS: usize = 2;

/// Seconds before a baseline's day in which its profiles are known by time where clocks change: as
/// far as the windows of its first datapoints may reach.
const SIGHT: i64 = 4 * DAY_SECONDS;
/// Seconds in an hour: profiles laid out by time end an hour after the day, for what is early.
const HOUR_SECONDS: i64 = 3600;

/// When the baseline for a datapoint at `time` is made: midnight UTC before it.
pub fn calibrated_at(time: i64) -> i64 {
    time.div_euclid(DAY_SECONDS) * DAY_SECONDS
}

/// How far an instance's own history carries its scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Under half a day of datapoints: too little to judge by.
    NoBaseline,
    /// Its first datapoint is less than [`OWN_DAYS`] days old: the artifact says how much its
    /// errors will still grow.
    Borrowed,
    /// Older.
    Own,
    /// Its group's, because its own is too little to judge by: see [`crate::newborn`].
    Group,
}

/// The values to expect from an instance's history at one resolution, before the network runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// Median and spread of the last 14 days.
    pub level: Level,
    /// Centre and spread by time of day.
    pub daily: Profile,
    /// Centre and spread by time of the week; only with two weeks of history.
    pub weekly: Option<Profile>,
}

impl Expectation {
    /// The values to expect from `usual`, by the clock of the day after it. Holidays are left out,
    /// but from the `level`.
    fn of(usual: &Series, level: Level, off: &DaysOff<'_>) -> Self {
        match off.left_out_of(usual) {
            None => Self {
                daily: Profile::daily(usual, usual.len(), &level),
                weekly: Profile::weekly(usual, usual.len(), &level),
                level,
            },
            Some(working) => {
                let daily = Profile::daily(&working, working.len(), &level);
                let weekly = Profile::weekly_of(&working, usual, &daily, &level);
                Self { level, daily, weekly }
            }
        }
    }

    /// From `start` to `end` (seconds since 1970), lays out the weekly profile, with that of the
    /// `days_off` on holidays: where `on_holiday` gives the time of day by the profile's clock.
    fn hold_on(
        &mut self,
        start: i64,
        end: i64,
        days_off: &Profile,
        on_holiday: impl Fn(i64) -> Option<i64>,
    ) {
        let Some(weekly) = &self.weekly else { return };
        let at = |time: i64| on_holiday(time).map_or((weekly, time), |shown| (days_off, shown));
        self.weekly = Some(weekly.laid_out_of(start, end, at));
    }

    /// The daily profile, for compressed values whose slot 0 starts at `start` (seconds since
    /// 1970), and the clock of their days.
    fn hours<'a>(
        &'a self,
        start: i64,
        zone: &'a Zone,
        off: DaysOff<'a>,
    ) -> forecast::DayContext<'a> {
        forecast::DayContext { level: &self.level, daily: &self.daily, zone, start, off }
    }

    /// The same by time, from `start` to `end` (seconds since 1970), as the clock of `zone` was and
    /// will be: its profiles are those of the clock at `day`.
    fn laid_out(&self, start: i64, end: i64, zone: &Zone, day: i64) -> Self {
        let by_time =
            |profile: &Profile| profile.laid_out(start, end, |time| zone.as_on(day, time));
        Self {
            level: self.level,
            daily: by_time(&self.daily),
            weekly: self.weekly.as_ref().map(by_time),
        }
    }

    /// The usual value at the hour of `time` (seconds since 1970), in percent.
    pub fn daily(&self, time: i64) -> f64 {
        self.level.unscaled(self.daily.centre(time).into())
    }

    /// The usual value at the hour of the week, in percent; only with two weeks of history.
    pub fn weekly(&self, time: i64) -> Option<f64> {
        Some(self.level.unscaled(self.weekly.as_ref()?.centre(time).into()))
    }

    /// The usual value at the hour, in percent: the one nearest to `value` within a quarter of an
    /// hour of `time`. A job that starts ten minutes early is the same job.
    pub fn nearest_daily(&self, time: i64, value: f64) -> f64 {
        let hours = (-LENIENCE..=LENIENCE).map(|slots| self.daily(time + slots * PERIOD));
        let nearer = |best: f64, usual: f64| {
            if (value - usual).abs() < (value - best).abs() { usual } else { best }
        };
        hours.fold(self.daily(time), nearer)
    }

    /// The usual value at `time` (seconds since 1970), in percent. It takes the daily profile, a
    /// few minutes early or late, and the weekly profile, and gives the one nearer to `value`.
    pub fn nearest(&self, time: i64, value: f64) -> f64 {
        let daily = self.nearest_daily(time, value);
        self.weekly(time)
            .filter(|weekly| (value - weekly).abs() < (value - daily).abs())
            .unwrap_or(daily)
    }
}

/// The usual behaviour of one instance from [`Self::at`] on, for one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Made of the datapoints before this time, in seconds since 1970.
    pub at: i64,
    /// How much history it rests on.
    pub phase: Phase,
    /// The values to expect, for each of [`RESOLUTIONS`].
    pub expectations: [Expectation; RESOLUTIONS.len()],
    /// The forecasts for the next five minutes, half an hour and two hours.
    pub forecasts: Forecasts,
    /// The largest errors in the history itself, by [`Channel`](crate::channel::Channel): they are
    /// usual until there is a day of scores. `None` where the history is longer than that.
    pub largest: Option<[f64; CHANNELS]>,
    /// The largest number of datapoints in a row that had the same value.
    pub longest_run: usize,
    /// The values at each hour, and the hours at which the instance should report.
    hours: Hours,
    /// The clock of its day and of the time before it that scores see, if it changes there; else
    /// UTC. That is not stored: such a baseline is one that an earlier build has stored.
    #[serde(default, deserialize_with = "zone_if_any", skip_serializing_if = "Zone::is_utc")]
    zone: Zone,
}

/// A last field that may be missing.
fn zone_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zone, D::Error> {
    Ok(Zone::deserialize(deserializer).unwrap_or_default())
}

impl Baseline {
    /// Learns from the 14 days of `history` before `at` (seconds since 1970) the usual values of
    /// the time after it, in UTC.
    ///
    /// # Errors
    /// [`TooLittleHistory`] when they hold less than half a day.
    pub fn learn(history: &Series, at: i64) -> Result<Self, TooLittleHistory> {
        Self::learn_by(history, at, &Clocks::default(), &Holidays::default())
    }

    /// The same by local time. `holidays` are not learnt as working days, and are judged by the
    /// holidays and Sundays in the history.
    ///
    /// # Errors
    /// [`TooLittleHistory`] when they hold less than half a day.
    pub fn learn_by(
        history: &Series,
        at: i64,
        clocks: &Clocks,
        holidays: &Holidays,
    ) -> Result<Self, TooLittleHistory> {
        // Up to `at`, even where the last slots are missing: whether the series shows them as
        // missing depends on the range that was read.
        let recent = history.up_to(at, HISTORY);
        let datapoints =
            recent.as_ref().map_or(0, |recent| recent.present(0..recent.len()).count());
        let too_little = TooLittleHistory { at, datapoints };
        let recent = recent.filter(|_| datapoints >= MIN_DATAPOINTS).ok_or(too_little)?;
        let sight = at - SIGHT..at + DAY_SECONDS + HOUR_SECONDS;
        let zone = match clocks {
            Clocks::Of(zone) => zone.between(recent.start().min(sight.start), sight.end),
            Clocks::Unknown => guess::zone(&recent, at),
        };
        // Where the clock does not change, local time is as good as UTC.
        let aligned = zone.changes_in(recent.start(), at).then(|| zone.aligned(&recent, at));
        let aligned = aligned.flatten();
        let off = DaysOff::new(holidays, clocks, at);
        let shown = zone.as_on(at, sight.start)..zone.as_on(at, sight.end);
        let [fine, coarse] = RESOLUTIONS.map(|over| {
            let averaged = recent.averaged(over);
            let level =
                Level::of(averaged.present(0..averaged.len()).collect()).ok_or(too_little)?;
            let usual = aligned.as_ref().map_or(averaged, |aligned| aligned.averaged(over));
            let days_off = off.profile(&usual, &level, shown.clone());
            Ok((Expectation::of(&usual, level, &off), days_off))
        });
        let ((fine, fine_off), (coarse, coarse_off)) = (fine?, coarse?);
        let mut expectations = [fine, coarse];
        let by_time = zone
            .changes_in(recent.start(), sight.end)
            .then(|| expectations[0].laid_out(recent.start() - PERIOD, sight.end, &zone, at));
        let fine = by_time.as_ref().unwrap_or(&expectations[0]);
        let forecasts = Forecasts::learn(&recent, &fine.level, &fine.daily, &zone, off);
        let first = recent.datapoints().next().map_or(at, |first| first.time);
        let phase =
            if at - first < OWN_DAYS as i64 * DAY_SECONDS { Phase::Borrowed } else { Phase::Own };
        let young = at - first <= YOUNG_DAYS as i64 * DAY_SECONDS;
        let largest = young.then(|| largest(&recent, fine, &forecasts, &zone, off));
        let changes = zone.changes_in(sight.start, sight.end);
        if changes {
            for expectation in &mut expectations {
                *expectation = expectation.laid_out(sight.start, sight.end, &zone, at);
            }
        }
        for (expectation, usual) in expectations.iter_mut().zip([fine_off, coarse_off]) {
            let Some(usual) = usual else { continue };
            let on_day =
                |time: i64| Some(zone.as_on(at, time)).filter(|time| off.is_holiday(*time));
            expectation.hold_on(sight.start, sight.end, &usual, on_day);
        }
        Ok(Self {
            at,
            phase,
            largest,
            forecasts,
            expectations,
            longest_run: longest_run(&recent),
            hours: Hours::of(aligned.as_ref().unwrap_or(&recent), at, &off),
            zone: if changes { zone.between(sight.start, sight.end) } else { Zone::utc() },
        })
    }

    /// The first baseline of an instance that had too little history at midnight. It holds from
    /// noon of the day of `time` (seconds since 1970) on, and is made of the [`NEWBORN`] slots
    /// before it. `None` before noon, and where these slots have less than half a day of
    /// datapoints.
    pub fn of_newborn(recent: &Series, time: i64, clocks: &Clocks) -> Option<Self> {
        let noon = calibrated_at(time) + DAY_SECONDS / 2;
        if time < noon {
            return None;
        }
        // Half a day has no day off to compare a holiday with.
        Self::learn_by(&recent.up_to(noon, NEWBORN)?, noon, clocks, &Holidays::default()).ok()
    }

    /// Whether it was made at noon: see [`Self::of_newborn`].
    pub fn is_of_newborn(&self) -> bool {
        self.at != calibrated_at(self.at)
    }

    /// The same baseline without the data that its day does not need: the other days of the week.
    /// `seen` is the number of slots before the day that the windows of its first datapoints span.
    pub fn for_its_day(mut self, seen: usize) -> Self {
        let (start, end) = (self.at - seen as i64 * PERIOD, self.at + DAY_SECONDS);
        // By another clock the day is an hour earlier or later.
        let spare = if guess::of_day(self.at).is_some() { HOUR_SECONDS } else { 0 };
        for Expectation { daily, weekly, .. } in &mut self.expectations {
            *weekly = weekly.as_ref().map(|weekly| weekly.between(start - spare, end + spare));
            if !daily.is_cycle() {
                *daily = daily.between(start - HOUR_SECONDS, end + HOUR_SECONDS);
            }
        }
        self
    }

    /// The same baseline by a clock that changes on its day; `None` on the days on which clocks
    /// change neither in Europe nor in North America, or where its own clock has changed lately.
    pub(crate) fn by_changed_clock(&self) -> Option<Self> {
        let zone = guess::of_day(calibrated_at(self.at))?;
        let sight = self.at - SIGHT..self.at + DAY_SECONDS + HOUR_SECONDS;
        if self.zone.changes_in(sight.start, sight.end) {
            return None;
        }
        let by_time = |expectation: &Expectation| {
            expectation.laid_out(sight.start, sight.end, &zone, self.at)
        };
        let expectations = self.expectations.each_ref().map(by_time);
        Some(Self { expectations, zone, ..self.clone() })
    }

    /// Lowest and highest value of the last 14 days at the hour of `time` (seconds since 1970, in
    /// its day).
    pub fn range_of_hour(&self, time: i64) -> Option<Range> {
        self.hours.at(self.zone.as_on(self.at, time))
    }

    /// Lowest and highest value of the last 14 days.
    pub fn range(&self) -> Option<Range> {
        self.hours.all()
    }

    /// Whether the instance should report in the hour of `time` (seconds since 1970, in its day):
    /// see [`Hours::reports`].
    pub fn reports(&self, time: i64) -> bool {
        self.hours.reports(self.zone.as_on(self.at, time))
    }

    /// The instance's own forecast of the slots that end with `slot` of `values`, as many as the
    /// horizon at this place in [`HORIZONS`] has; compressed. Slot 0 starts at `start` (seconds
    /// since 1970). `None` where there is too little before them.
    pub fn forecast(
        &self,
        values: &Compressed,
        start: i64,
        slot: usize,
        horizon: usize,
    ) -> Option<f64> {
        self.forecast_around(DaysOff::none(), values, start, slot, horizon)
    }

    /// The same where there are days `off`.
    pub(crate) fn forecast_around(
        &self,
        off: DaysOff<'_>,
        values: &Compressed,
        start: i64,
        slot: usize,
        horizon: usize,
    ) -> Option<f64> {
        let first = (slot + 1).checked_sub(HORIZONS[horizon])?;
        let hours = self.expectations[0].hours(start, &self.zone, off);
        self.forecasts.of(values, &hours, first, horizon)
    }

    /// Whole days of datapoints behind it.
    pub fn days(&self) -> usize {
        self.expectations[0].level.datapoints / DAY
    }

    /// Standard deviation of the datapoints, in percentage points.
    pub fn deviation(&self) -> f64 {
        self.expectations[0].level.deviation
    }
}

/// The largest error of each channel along `history`, by the forecasts that were learnt from it.
fn largest(
    history: &Series,
    expectation: &Expectation,
    forecasts: &Forecasts,
    zone: &Zone,
    off: DaysOff<'_>,
) -> [f64; CHANNELS] {
    let values = Compressed::of(history);
    let hours = expectation.hours(history.start(), zone, off);
    let errors = |slot: usize| -> Errors {
        let forecast = std::array::from_fn(|horizon| {
            let first = (slot + 1).checked_sub(HORIZONS[horizon])?;
            forecasts.of(&values, &hours, first, horizon)
        });
        residual::errors(&values, slot, &forecast, &expectation.level)
    };
    let mut largest = [0.0_f64; CHANNELS];
    for slot in (0..history.len()).filter(|&slot| history.get(slot).is_some()) {
        for (largest, error) in largest.iter_mut().zip(errors(slot)) {
            *largest = largest.max(error.unwrap_or(0.0));
        }
    }
    largest
}

/// Datapoints in the longest run of equal ones that ended: the one that goes on to the end does not
/// count.
fn longest_run(history: &Series) -> usize {
    let values: Vec<f64> = history.present(0..history.len()).collect();
    let runs: Vec<usize> = values.chunk_by(|a, b| a == b).map(<[f64]>::len).collect();
    runs.split_last().and_then(|(_, ended)| ended.iter().copied().max()).unwrap_or(0)
}

/// An instance that has not been watched for long enough to learn its usual behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{datapoints} datapoints before time {at}, a baseline needs {MIN_DATAPOINTS} (half a day): \
     wait until the instance has run for longer"
)]
pub struct TooLittleHistory {
    /// The time the baseline was asked for, in seconds since 1970.
    pub at: i64,
    /// Number of datapoints in the history.
    pub datapoints: usize,
}

#[cfg(test)]
mod tests;
