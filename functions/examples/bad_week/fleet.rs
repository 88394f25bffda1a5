//! The fleet of the week: two hundred machines in twelve groups, and the machines that come and go.
//! The CPU of a machine is a pure function of its number and the time, noise included.

use std::collections::HashMap;
use std::f64::consts::TAU;

use anyhow::{Context, Result};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use scripted_aws::{Fleet, GROUP, SLOT, Tags};

use crate::story::{Effect, Trouble};

/// The zone by whose clock the machines and their people live.
pub(crate) const ZONE: &str = "Europe/Berlin";
/// The first datapoint, sixteen days before the week.
pub(crate) const HISTORY: &str = "2026-03-11T00:00";
/// The week, from its first to its last minute.
pub(crate) const WEEK: [&str; 2] = ["2026-03-27T00:00", "2026-04-05T00:00"];
/// When Berlin's clocks go from 2:00 to 3:00, in seconds since 1970: 2026-03-29 01:00 UTC.
const CHANGE: i64 = 1_774_746_000;
/// Days since 1970 of Good Friday and Easter Monday.
const FREE: [i64; 2] = [20_546, 20_549];
const DAY: i64 = 86_400;
const HOUR: i64 = 3600;
/// How long CloudWatch lists an instance after its last datapoint.
const LISTED: i64 = 3 * HOUR;
/// How long a machine boots, and its CPU meanwhile.
const BOOT: (i64, f64) = (2 * SLOT, 85.0);

/// The calendar of holidays, as it would be published.
pub(crate) fn holidays() -> String {
    let event = |(name, days): (&str, [&str; 2])| {
        format!(
            "BEGIN:VEVENT\r\nUID:{}@example.com\r\nDTSTAMP:20260101T000000Z\r\n\
             DTSTART;VALUE=DATE:{}\r\nDTEND;VALUE=DATE:{}\r\nSUMMARY:{name}\r\nEND:VEVENT\r\n",
            days[0], days[0], days[1]
        )
    };
    let events =
        [("Good Friday", ["20260403", "20260404"]), ("Easter Monday", ["20260406", "20260407"])];
    let events = events.map(event).concat();
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example.com//holidays//EN\r\n{events}\
         END:VCALENDAR\r\n"
    )
}

/// What the work of a group follows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rhythm {
    /// People at all hours, a little less on free days.
    Traffic,
    /// Work from eight to six, none on free days.
    Office,
    /// The same in jobs of a quarter of an hour.
    Builds,
    /// A job of ninety minutes at half past one.
    Nightly,
}

/// A group of machines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// The value of its tag.
    pub(crate) name: &'static str,
    /// Machines that live all week.
    pub(crate) size: usize,
    rhythm: Rhythm,
    /// Percent of CPU without work.
    idle: f64,
    /// Percent of CPU that the most work adds.
    swing: f64,
    /// Standard deviation of a machine's own noise at the most work, in points.
    noise: f64,
}

const fn group(
    name: &'static str,
    size: usize,
    rhythm: Rhythm,
    [idle, swing, noise]: [f64; 3],
) -> Group {
    Group { name, size, rhythm, idle, swing, noise }
}

/// The groups, as the picture shows them from top to bottom.
pub(crate) const GROUPS: [Group; 12] = [
    group("web", 40, Rhythm::Traffic, [9.0, 30.0, 1.5]),
    group("api", 30, Rhythm::Traffic, [14.0, 24.0, 1.2]),
    group("checkout", 24, Rhythm::Traffic, [8.0, 22.0, 1.1]),
    group("search", 18, Rhythm::Traffic, [18.0, 26.0, 1.6]),
    group("queue", 14, Rhythm::Traffic, [12.0, 20.0, 1.8]),
    group("cache", 10, Rhythm::Traffic, [15.0, 8.0, 0.7]),
    group("db", 6, Rhythm::Traffic, [20.0, 18.0, 1.3]),
    group("mail", 2, Rhythm::Traffic, [4.0, 6.0, 0.8]),
    group("office", 20, Rhythm::Office, [2.5, 24.0, 1.8]),
    group("build", 16, Rhythm::Builds, [3.0, 60.0, 4.0]),
    group("reports", 8, Rhythm::Office, [4.0, 35.0, 2.0]),
    group("batch-nightly", 12, Rhythm::Nightly, [3.0, 65.0, 3.0]),
];

/// A machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The position of its group in [`GROUPS`].
    pub(crate) group: usize,
    /// Its first and the time after its last datapoint, in seconds since 1970.
    pub(crate) lives: (i64, i64),
    key: u64,
    /// Its part of the load, 1 on average.
    share: f64,
}

/// The whole fleet with its troubles.
pub(crate) struct Week {
    pub(crate) machines: Vec<Machine>,
    numbers: HashMap<String, usize>,
    pub(crate) troubles: Vec<Trouble>,
}

impl Week {
    /// The fleet, in which all of this goes wrong. `launches` are the first and the last moment of
    /// further machines of the first group.
    pub(crate) fn new(
        launches: &[(i64, i64)],
        troubles: impl FnOnce(&[Machine]) -> Result<Vec<Trouble>>,
    ) -> Result<Self> {
        let began = local(HISTORY)?;
        let mut machines = Vec::new();
        for (number, group) in GROUPS.iter().enumerate() {
            let mut add = |place: usize, lives: (i64, i64)| {
                let key = mix(&[0x0bad, number as u64, place as u64]);
                machines.push(Machine {
                    id: format!("i-0{key:016x}"),
                    name: format!("{}-{}", group.name, place + 1),
                    group: number,
                    lives,
                    key,
                    share: 0.92 + 0.16 * unit(mix(&[key, 1])),
                });
            };
            (0..group.size).for_each(|place| add(place, (began, i64::MAX)));
            if number == 0 {
                let born = launches.iter().enumerate();
                born.for_each(|(place, lives)| add(group.size + place, *lives));
            }
        }
        let numbers = machines.iter().enumerate().map(|(n, one)| (one.id.clone(), n)).collect();
        let troubles = troubles(&machines)?;
        Ok(Self { machines, numbers, troubles })
    }

    /// The machine of this id.
    pub(crate) fn machine(&self, id: &str) -> Option<&Machine> {
        self.numbers.get(id).map(|&number| &self.machines[number])
    }

    /// Percent of CPU in the slot that begins at `time`; `None` where it does not report.
    fn cpu(&self, number: usize, time: i64) -> Option<f64> {
        let machine = &self.machines[number];
        if !(machine.lives.0..machine.lives.1).contains(&time) {
            return None;
        }
        let mut cpu = machine.usual(time);
        if machine.lives.1 != i64::MAX && time - machine.lives.0 < BOOT.0 {
            cpu = BOOT.1 + normal(mix(&[machine.key, time as u64]));
        }
        let now = self.troubles.iter().filter(|trouble| {
            (trouble.from..trouble.until).contains(&time) && trouble.machines.contains(&number)
        });
        for trouble in now {
            let noise = normal(mix(&[machine.key, time as u64, 5]));
            cpu = match trouble.effect {
                Effect::Times(factor) => cpu * factor,
                Effect::Plus(points) => cpu + points,
                Effect::GrowsBy(points) => {
                    let part = (time - trouble.from) as f64 / (trouble.until - trouble.from) as f64;
                    cpu + points * part
                }
                Effect::HangsAt(percent) => percent + 0.3 * noise,
                Effect::IdlesAt(percent) => percent * (1.0 + 0.15 * noise),
                Effect::IsSilent => return None,
            };
        }
        Some(cpu.clamp(0.05, 100.0))
    }
}

impl Machine {
    /// Percent of CPU where nothing is wrong.
    fn usual(&self, time: i64) -> f64 {
        let Group { rhythm, idle, swing, noise, .. } = GROUPS[self.group];
        let (crowd, slot) = (mix(&[0x6, self.group as u64]), time.div_euclid(SLOT) as u64);
        let work = match rhythm {
            Rhythm::Traffic => traffic(Clock::of(time)),
            Rhythm::Office => office(Clock::of(time)),
            Rhythm::Builds => {
                let job = unit(mix(&[self.key, time.div_euclid(3 * SLOT) as u64, 3]));
                office(Clock::of(time)) * (0.4 + 0.6 * job)
            }
            Rhythm::Nightly => nightly(time),
        };
        // What a group has in common, and what is a machine's own.
        let shared = 1.0 + 0.05 * smooth(crowd, time, HOUR) + 0.02 * normal(mix(&[crowd, slot]));
        let own = 1.0 + 0.03 * smooth(self.key, time, 3 * HOUR);
        // One value of a hundred is further off than the others.
        let far = if unit(mix(&[self.key, slot, 2])) < 0.01 { 2.5 } else { 1.0 };
        let drawn = normal(mix(&[self.key, slot, 4]));
        self.share * (idle + swing * work * shared * own) + noise * (0.3 + 0.7 * work) * far * drawn
    }
}

impl Fleet for Week {
    fn instances(&self, now: i64) -> Vec<String> {
        let is_active = |number: &usize| {
            let latest = now.div_euclid(SLOT) * SLOT - SLOT;
            let mut times = (0..LISTED / SLOT).map(|slots| latest - slots * SLOT);
            times.any(|time| self.cpu(*number, time).is_some())
        };
        let active = (0..self.machines.len()).filter(is_active);
        active.map(|number| self.machines[number].id.clone()).collect()
    }

    fn datapoints(&self, instance: &str, from: i64, to: i64, now: i64) -> Vec<(i64, f64)> {
        let Some(&number) = self.numbers.get(instance) else { return Vec::new() };
        let first = from + (-from).rem_euclid(SLOT);
        let times = (first..to.min(now - SLOT + 1)).step_by(SLOT as usize);
        times.filter_map(|time| Some((time, self.cpu(number, time)?))).collect()
    }

    fn tags(&self, instance: &str) -> Tags {
        self.machine(instance).map_or_else(Tags::new, |machine| {
            vec![
                (GROUP.into(), GROUPS[machine.group].name.into()),
                ("Name".into(), machine.name.clone()),
            ]
        })
    }
}

/// Seconds since 1970 of a local time such as 2026-03-27T10:40.
pub(crate) fn local(text: &str) -> Result<i64> {
    let time: DateTime = text.parse().with_context(|| format!("{text} is no time"))?;
    Ok(time.to_zoned(TimeZone::get(ZONE)?)?.timestamp().as_second())
}

/// What the clocks and the calendar on the wall say.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Clock {
    /// Hours of the day.
    hour: f64,
    /// Whether it is a weekend or a holiday.
    free: bool,
}

impl Clock {
    fn of(time: i64) -> Self {
        let local = time + if time < CHANGE { HOUR } else { 2 * HOUR };
        let day = local.div_euclid(DAY);
        // 1 January 1970 was a Thursday.
        let free = (day + 3).rem_euclid(7) >= 5 || FREE.contains(&day);
        Self { hour: local.rem_euclid(DAY) as f64 / HOUR as f64, free }
    }
}

/// From 0 at half past four to 1 at half past four in the afternoon.
fn traffic(clock: Clock) -> f64 {
    let wave = 0.5 - 0.5 * ((clock.hour - 4.5) / 24.0 * TAU).cos();
    wave.powf(1.3) * if clock.free { 0.8 } else { 1.0 }
}

fn office(clock: Clock) -> f64 {
    if clock.free {
        return 0.0;
    }
    let ramp = |from: f64, to: f64| ((clock.hour - from) / (to - from)).clamp(0.0, 1.0);
    let lunch = 0.25 * (ramp(11.75, 12.25) - ramp(13.0, 13.5));
    ramp(7.5, 8.75) - ramp(17.25, 18.75) - lunch
}

/// A job of ninety minutes, whatever the clocks do while it runs.
fn nightly(time: i64) -> f64 {
    let midnight = |offset: i64| (time + offset).div_euclid(DAY) * DAY - offset;
    let begin = midnight(if time < CHANGE + 21 * HOUR { HOUR } else { 2 * HOUR }) + 90 * 60;
    if (begin..begin + 90 * 60).contains(&time) { 1.0 } else { 0.0 }
}

fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9E37_79B9_7F4A_7C15, |mixed, part| {
        let mixed = (mixed ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}

/// From 0 to 1.
fn unit(drawn: u64) -> f64 {
    (drawn >> 11) as f64 / (1u64 << 53) as f64
}

/// Near enough to a normal number: the sum of four uniform ones.
fn normal(drawn: u64) -> f64 {
    let sum: f64 = (0..4).map(|part| (drawn >> (16 * part) & 0xffff) as f64 / 65_536.0).sum();
    (sum - 2.0) * 3f64.sqrt()
}

/// A normal number every `every` seconds, and a smooth way between two of them.
fn smooth(key: u64, time: i64, every: i64) -> f64 {
    let knot = |number: i64| normal(mix(&[key, number as u64, every as u64]));
    let part = time.rem_euclid(every) as f64 / every as f64;
    let (part, number) = (0.5 - 0.5 * (part * TAU / 2.0).cos(), time.div_euclid(every));
    knot(number) * (1.0 - part) + knot(number + 1) * part
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn calm() -> Week {
        Week::new(&[], |_| Ok(Vec::new())).unwrap()
    }

    /// The mean CPU of a group in the hour from a local time on.
    fn mean(week: &Week, group: &str, from: &str) -> f64 {
        let from = local(from).unwrap();
        let of = |machine: &&Machine| GROUPS[machine.group].name == group;
        let times = |machine: &Machine| {
            let points = week.datapoints(&machine.id, from, from + HOUR, i64::MAX);
            points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64
        };
        let all: Vec<f64> = week.machines.iter().filter(of).map(times).collect();
        all.iter().sum::<f64>() / all.len() as f64
    }

    #[test]
    fn it_is_the_same_fleet_each_time() {
        let (week, again) = (calm(), calm());
        assert_eq!((week.machines.len(), GROUPS.len()), (200, 12));
        let [from, until] = WEEK.map(|time| local(time).unwrap());
        for machine in week.machines.iter().step_by(17) {
            let points = week.datapoints(&machine.id, from, until, until);
            assert_eq!(points, again.datapoints(&machine.id, from, until, until));
            assert_eq!(points.len() as i64, (until - from) / SLOT);
        }
        assert_eq!(week.instances(until).len(), 200);
        assert!(week.instances(local(HISTORY).unwrap()).is_empty());
    }

    #[test]
    fn the_clocks_are_those_of_berlin() {
        let zone = TimeZone::get(ZONE).unwrap();
        let [from, until] = [HISTORY, WEEK[1]].map(|time| local(time).unwrap());
        for time in (from..until).step_by(900) {
            let there = Timestamp::from_second(time).unwrap().to_zoned(zone.clone());
            let clock = Clock::of(time);
            assert_eq!(clock.hour, f64::from(there.hour()) + f64::from(there.minute()) / 60.0);
            let free = ["Sat", "Sun"].contains(&there.strftime("%a").to_string().as_str())
                || ["2026-04-03", "2026-04-06"].contains(&there.date().to_string().as_str());
            assert_eq!(clock.free, free, "{there}");
        }
    }

    #[test]
    fn the_nightly_job_takes_ninety_minutes_over_a_change_of_clocks_too() {
        for day in ["2026-03-28", "2026-03-29", "2026-03-30", "2026-04-03"] {
            let from = local(&format!("{day}T00:00")).unwrap();
            let busy: Vec<i64> =
                (from..from + 23 * HOUR).step_by(300).filter(|time| nightly(*time) > 0.0).collect();
            assert_eq!((busy.len(), busy[0]), (18, local(&format!("{day}T01:30")).unwrap()));
        }
    }

    #[test]
    fn a_holiday_is_a_day_off() {
        let week = calm();
        for group in ["office", "build", "reports"] {
            let thursday = mean(&week, group, "2026-04-02T10:00");
            let friday = mean(&week, group, "2026-04-03T10:00");
            assert!(thursday > 4.0 * friday, "{group}: {thursday} and {friday}");
            // Before and after the change people come at the same hour of their clock.
            let [before, after] =
                ["2026-03-27T08:00", "2026-03-30T08:00"].map(|time| mean(&week, group, time));
            assert!((before / after - 1.0).abs() < 0.25, "{group}: {before} and {after}");
        }
    }

    #[test]
    fn a_machine_is_listed_for_three_hours_after_it_is_gone() {
        let from = local("2026-03-27T09:00").unwrap();
        let week = Week::new(&[(from, from + HOUR)], |_| Ok(Vec::new())).unwrap();
        let listed = |after: i64| week.instances(from + after).len();
        assert_eq!([listed(0), listed(SLOT), listed(3 * HOUR)], [200, 201, 201]);
        assert_eq!(listed(4 * HOUR + 2 * SLOT), 200);
    }
}
