//! The instances whose CPU CloudWatch knows.

use std::collections::{BTreeMap, HashMap};
use std::f64::consts::TAU;

use crate::hash;

/// Seconds from one datapoint to the next.
pub const SLOT: i64 = 300;
const DAY: f64 = 86_400.0;

/// The key of the tag that names an instance's Auto Scaling group.
pub const GROUP: &str = "aws:autoscaling:groupName";

/// Tags, as keys and values.
pub type Tags = Vec<(String, String)>;

/// The instances whose CPU CloudWatch knows.
pub trait Fleet: Send + Sync {
    /// The ids that were active in the three hours before `now`.
    fn instances(&self, now: i64) -> Vec<String>;

    /// The points of an instance with times from `from` to before `to` that have arrived by `now`,
    /// ascending, at most one for each five-minute slot.
    fn datapoints(&self, instance: &str, from: i64, to: i64, now: i64) -> Vec<(i64, f64)>;

    /// The tags of an instance.
    fn tags(&self, _instance: &str) -> Tags {
        Tags::new()
    }

    /// The Auto Scaling groups of those instances. Each has a metric of its own: their mean.
    fn groups(&self, now: i64) -> Vec<String> {
        let instances = self.instances(now);
        let mut groups: Vec<String> =
            instances.iter().filter_map(|instance| self.group_of(instance)).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// The points of a group, as [`Self::datapoints`].
    fn group_datapoints(&self, group: &str, from: i64, to: i64, now: i64) -> Vec<(i64, f64)> {
        let mut sums: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
        for instance in self.instances(now) {
            if self.group_of(&instance).as_deref() == Some(group) {
                for (time, value) in self.datapoints(&instance, from, to, now) {
                    let (sum, count) = sums.entry(time).or_default();
                    *sum += value;
                    *count += 1.0;
                }
            }
        }
        sums.into_iter().map(|(time, (sum, count))| (time, sum / count)).collect()
    }

    /// The Auto Scaling group of an instance, as its tag [`GROUP`] says.
    fn group_of(&self, instance: &str) -> Option<String> {
        self.tags(instance).into_iter().find(|(key, _)| key == GROUP).map(|(_, group)| group)
    }
}

/// A fleet whose CPU is a pure function of the instance's number and the time: a daily cycle, a
/// factor of the weekday, and noise.
#[derive(Debug, Clone, Default)]
pub struct Generated {
    /// How many instances; instance `n` is named by [`Generated::id`].
    pub instances: usize,
    /// How many of them are different: instance `n` is like instance `n % distinct`. 0 means all.
    pub distinct: usize,
    /// Another seed is another fleet.
    pub seed: u64,
    /// Seconds after its end that every slot arrives.
    pub arrival_delay: i64,
    /// Instances of each group: instance `n` has the tag [`GROUP`] of group `n / group`. 0 means
    /// that none has a tag.
    pub group: usize,
    changes: HashMap<usize, Vec<Change>>,
}

#[derive(Debug, Clone)]
enum Change {
    Fault { from: i64, to: i64, value: f64 },
    Gap { from: i64, to: i64 },
    Late { time: i64, delay: i64 },
}

impl Generated {
    /// A fleet of this number of instances, all different.
    pub fn new(instances: usize, seed: u64) -> Self {
        Self { instances, distinct: instances, seed, ..Self::default() }
    }

    /// The name of instance `n`.
    pub fn id(n: usize) -> String {
        format!("i-{n:017x}")
    }

    /// The number of the instance of this name.
    pub fn number(id: &str) -> Option<usize> {
        let digits = id.strip_prefix("i-").filter(|digits| digits.len() == 17)?;
        usize::from_str_radix(digits, 16).ok()
    }

    /// Instance `n` is at `value` from `from` to before `to`.
    #[must_use]
    pub fn fault(self, n: usize, from: i64, to: i64, value: f64) -> Self {
        self.with(n, Change::Fault { from, to, value })
    }

    /// Instance `n` has no points from `from` to before `to`.
    #[must_use]
    pub fn gap(self, n: usize, from: i64, to: i64) -> Self {
        self.with(n, Change::Gap { from, to })
    }

    /// The point of instance `n` at `time` arrives `delay` seconds after the end of its slot.
    #[must_use]
    pub fn late(self, n: usize, time: i64, delay: i64) -> Self {
        self.with(n, Change::Late { time, delay })
    }

    /// Every point arrives `delay` seconds after the end of its slot.
    #[must_use]
    pub fn arrival_delay(self, delay: i64) -> Self {
        Self { arrival_delay: delay, ..self }
    }

    /// Each `size` instances are one Auto Scaling group, as their tag [`GROUP`] says.
    #[must_use]
    pub fn groups(self, size: usize) -> Self {
        Self { group: size, ..self }
    }

    fn with(mut self, n: usize, change: Change) -> Self {
        self.changes.entry(n).or_default().push(change);
        self
    }

    /// The CPU of instance `n` in the slot at `time`, without faults and gaps.
    pub fn cpu(&self, n: usize, time: i64) -> f64 {
        Shape::of(self, n).at(time)
    }
}

/// The constants of an instance.
struct Shape {
    key: u64,
    level: f64,
    swing: f64,
    phase: f64,
    weekend: f64,
    noise: f64,
}

impl Shape {
    fn of(fleet: &Generated, n: usize) -> Self {
        let like = if fleet.distinct == 0 { n } else { n % fleet.distinct };
        let key = hash::of(&[fleet.seed, like as u64]);
        let draw =
            |what: u64, from: f64, to: f64| from + (to - from) * hash::unit(hash::of(&[key, what]));
        Self {
            key,
            level: draw(1, 15.0, 45.0),
            swing: draw(2, 4.0, 14.0),
            phase: draw(3, 0.0, TAU),
            weekend: draw(4, 0.6, 1.0),
            noise: draw(5, 0.5, 2.0),
        }
    }

    fn at(&self, time: i64) -> f64 {
        let slot = time.div_euclid(SLOT);
        let angle = (slot * SLOT).rem_euclid(DAY as i64) as f64 / DAY * TAU + self.phase;
        // 1 January 1970 was a Thursday: days 2 and 3 of each seven are the weekend.
        let week = match (slot * SLOT).div_euclid(DAY as i64).rem_euclid(7) {
            2 | 3 => self.weekend,
            _ => 1.0,
        };
        let drawn = hash::of(&[self.key, slot as u64]);
        // The sum of four uniform numbers is near enough to a normal one, and quick.
        let sum: f64 = (0..4).map(|part| (drawn >> (16 * part) & 0xffff) as f64 / 65_536.0).sum();
        let noise = (sum - 2.0) * 3f64.sqrt() * self.noise;
        ((self.level + self.swing * angle.sin() + 0.3 * self.swing * (2.0 * angle).sin()) * week
            + noise)
            .clamp(0.0, 100.0)
    }
}

impl Fleet for Generated {
    fn instances(&self, _now: i64) -> Vec<String> {
        (0..self.instances).map(Self::id).collect()
    }

    fn datapoints(&self, instance: &str, from: i64, to: i64, now: i64) -> Vec<(i64, f64)> {
        let Some(n) = Self::number(instance).filter(|n| *n < self.instances) else {
            return Vec::new();
        };
        let shape = Shape::of(self, n);
        let first = from + (-from).rem_euclid(SLOT);
        let changes = self.changes.get(&n).map_or(&[][..], Vec::as_slice);
        // Without changes nothing after this time has arrived.
        let end = if changes.is_empty() { to.min(now - self.arrival_delay - SLOT + 1) } else { to };
        let mut points = Vec::with_capacity(((end - first).max(0) / SLOT + 1) as usize);
        'slots: for time in (first..end).step_by(SLOT as usize) {
            let (mut value, mut delay) = (None, self.arrival_delay);
            for change in changes {
                match *change {
                    Change::Gap { from, to } if (from..to).contains(&time) => continue 'slots,
                    Change::Fault { from, to, value: fault } if (from..to).contains(&time) => {
                        value = Some(fault)
                    }
                    Change::Late { time: late, delay: seconds } if late == time => delay = seconds,
                    _ => {}
                }
            }
            if time + SLOT + delay <= now {
                points.push((time, value.unwrap_or_else(|| shape.at(time))));
            }
        }
        points
    }

    fn tags(&self, instance: &str) -> Tags {
        match Self::number(instance).filter(|n| *n < self.instances) {
            Some(n) if self.group > 0 => vec![(GROUP.into(), format!("group-{}", n / self.group))],
            _ => Tags::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_function_of_its_number_and_the_time() {
        let fleet = Generated { distinct: 3, ..Generated::new(10, 1) };
        let points = |n: usize| fleet.datapoints(&Generated::id(n), 0, 86_400 * 14, i64::MAX / 2);
        assert_eq!(points(0), points(3));
        assert_ne!(points(0), points(1));
        assert_eq!(points(0).len(), 288 * 14);
        assert!(
            points(1).iter().all(|(time, value)| time % SLOT == 0 && (0.0..=100.0).contains(value))
        );
        assert_eq!(points(2)[7], (2100, fleet.cpu(2, 2100)));
        assert_eq!(fleet.datapoints(&Generated::id(10), 0, 3000, 10_000), []);
        assert_eq!(fleet.datapoints("i-1", 0, 3000, 10_000), []);
        assert_eq!(fleet.instances(0)[9], "i-00000000000000009");
    }

    #[test]
    fn groups_are_as_large_as_they_should_be() {
        let fleet = Generated::new(5, 1).groups(2);
        let group = |n: usize| fleet.tags(&Generated::id(n)).pop();
        let named = |name: &str| Some((GROUP.to_string(), name.to_string()));
        assert_eq!([group(0), group(1)], [named("group-0"), named("group-0")]);
        assert_eq!([group(4), group(5)], [named("group-2"), None]);
        assert!(Generated::new(5, 1).tags(&Generated::id(0)).is_empty());
        assert_eq!(Fleet::groups(&fleet, 0), ["group-0", "group-1", "group-2"]);
        let mean = (fleet.cpu(2, 600) + fleet.cpu(3, 600)) / 2.0;
        assert_eq!(fleet.group_datapoints("group-1", 600, 900, 2000), [(600, mean)]);
        assert!(fleet.group_datapoints("group-3", 600, 900, 2000).is_empty());
    }

    #[test]
    fn changes_are_of_their_instance() {
        let fleet =
            Generated::new(2, 1).fault(1, 300, 900, 99.0).gap(1, 1200, 1500).late(1, 1800, 600);
        let times = |now: i64| -> Vec<i64> {
            fleet.datapoints(&Generated::id(1), 0, 2400, now).iter().map(|point| point.0).collect()
        };
        assert_eq!(times(2400), [0, 300, 600, 900, 1500, 2100]);
        assert_eq!(times(2700), [0, 300, 600, 900, 1500, 1800, 2100]);
        assert_eq!(fleet.datapoints(&Generated::id(1), 300, 900, 2400), [(300, 99.0), (600, 99.0)]);
        assert_eq!(fleet.datapoints(&Generated::id(0), 1, 2400, 2399).len(), 6);
        let slow = Generated::new(1, 1).arrival_delay(200);
        assert_eq!(slow.datapoints(&Generated::id(0), 0, 600, 799).len(), 1);
        assert_eq!(slow.datapoints(&Generated::id(0), 0, 600, 800).len(), 2);
    }
}
