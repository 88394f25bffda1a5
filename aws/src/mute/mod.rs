//! Mutes, times without alerts: the windows of a file in S3, for named instances, for tags, or for
//! all.
//!
//! The file is `.json` (`json`) or a calendar, `.ics` (`ics`). Either becomes [`Mutes`]; a mute
//! holds once or is repeated (`repeat`).
//!
//! A datapoint is muted where any part of its five minutes is.

mod days;
pub(crate) mod ics;
mod json;
mod repeat;
mod text;
mod windows;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use deepguard::series::slot_start;
use repeat::When;

use crate::ids::TargetId;
use crate::settings_file::Content;
use crate::tags::{TagRule, Tags};

/// The largest file that is read.
pub const MAX_BYTES: usize = 256 * 1024;
/// The most mutes in a file.
pub const MAX_MUTES: usize = 1000;
/// The reason of a mute without one.
const NO_REASON: &str = "muted";
/// The maximum length of a stored reason, in characters.
const REASON_LENGTH: usize = 200;

/// The instances that are muted, and when.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mutes {
    mutes: Vec<Mute>,
}

/// One window, or one that is repeated.
#[derive(Debug, Clone, PartialEq)]
struct Mute {
    who: Who,
    when: When,
    why: String,
}

/// The instances that a mute is for.
#[derive(Debug, Clone, PartialEq)]
enum Who {
    All,
    Instances(BTreeSet<TargetId>),
    Tags(TagRule),
}

impl Who {
    fn is(&self, instance: &TargetId, tags: &Tags) -> bool {
        match self {
            Self::All => true,
            Self::Instances(instances) => instances.contains(instance),
            Self::Tags(rule) => rule.holds_for(tags),
        }
    }
}

impl Content for Mutes {
    const MAX_BYTES: usize = MAX_BYTES;
    const ENDINGS: &[&str] = &[".json", ".ics"];

    fn read(bytes: &[u8], ending: &str) -> Result<Self, Vec<String>> {
        let mutes = if ending == ".ics" { ics::mutes(bytes) } else { json::mutes(bytes) };
        Ok(Self { mutes: mutes? })
    }
}

impl Mutes {
    /// Whether nothing is ever muted.
    pub fn is_empty(&self) -> bool {
        self.mutes.is_empty()
    }

    /// Whether any mute depends on an instance's tags.
    pub fn needs_tags(&self) -> bool {
        self.mutes.iter().any(|mute| matches!(mute.who, Who::Tags(_)))
    }

    /// Why the datapoint of `instance`, which has these tags, at `time` (seconds since 1970) is
    /// muted; `None` where it is not.
    ///
    /// For more than a few of them see [`Self::during`].
    pub fn at(&self, instance: &TargetId, tags: &Tags, time: i64) -> Option<&str> {
        let times = time..time.saturating_add(1);
        let mute = self
            .mutes
            .iter()
            .find(|mute| mute.who.is(instance, tags) && !windows(mute, &times).is_empty());
        mute.map(|mute| mute.why.as_str())
    }

    /// The windows that lie in `times` (seconds since 1970), computed once for a whole fleet.
    /// Repeated mutes are computed for the first four hundred days of `times`.
    pub fn during(&self, times: Range<i64>) -> During {
        let within = |mute: &Mute| Within {
            who: mute.who.clone(),
            why: mute.why.as_str().into(),
            windows: windows(mute, &times),
        };
        let mutes = self.mutes.iter().map(within).filter(|mute| !mute.windows.is_empty());
        During { mutes: mutes.collect(), ranges: RefCell::default() }
    }
}

/// The windows of a mute, widened to whole slots, as far as they lie in `times`.
fn windows(mute: &Mute, times: &Range<i64>) -> Vec<Range<i64>> {
    let widened =
        mute.when.windows(times).into_iter().map(|window| slot_start(window.start)..window.end);
    let within = widened.map(|window| window.start.max(times.start)..window.end.min(times.end));
    within.filter(|window| !window.is_empty()).collect()
}

/// The mutes of a stretch of time.
#[derive(Debug, Clone, Default)]
pub struct During {
    mutes: Vec<Within>,
    /// The ranges of each set of mutes (by their indices) that some instance has.
    ranges: RefCell<BTreeMap<Vec<usize>, Rc<MutedRanges>>>,
}

/// A mute, and its windows in a stretch of time.
#[derive(Debug, Clone)]
struct Within {
    who: Who,
    why: Rc<str>,
    windows: Vec<Range<i64>>,
}

impl During {
    /// When an instance with these tags is muted. Instances with the same mutes share the answer.
    pub fn of(&self, instance: &TargetId, tags: &Tags) -> Rc<MutedRanges> {
        let for_it = |index: &usize| self.mutes[*index].who.is(instance, tags);
        let set: Vec<usize> = (0..self.mutes.len()).filter(for_it).collect();
        let mut known = self.ranges.borrow_mut();
        if let Some(ranges) = known.get(&set) {
            return Rc::clone(ranges);
        }
        let all = set.iter().flat_map(|&index| {
            let Within { why, windows, .. } = &self.mutes[index];
            windows.iter().map(|window| (window.clone(), Rc::clone(why)))
        });
        let ranges = Rc::new(MutedRanges::new(all.collect()));
        known.insert(set, Rc::clone(&ranges));
        ranges
    }
}

/// When an instance is muted, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MutedRanges {
    /// In the order of time, without overlap or contact.
    ranges: Vec<(Range<i64>, Rc<str>)>,
}

impl MutedRanges {
    fn new(mut all: Vec<(Range<i64>, Rc<str>)>) -> Self {
        all.sort_by_key(|(range, _)| (range.start, range.end));
        let mut ranges: Vec<(Range<i64>, Rc<str>)> = Vec::with_capacity(all.len());
        for (range, why) in all {
            // Where two mutes overlap, the earlier one counts.
            let start =
                ranges.last().map_or(range.start, |(before, _)| range.start.max(before.end));
            if start < range.end {
                ranges.push((start..range.end, why));
            }
        }
        Self { ranges }
    }

    /// Whether it is never muted.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Why the datapoint at `time` (seconds since 1970) is muted; `None` where it is not.
    pub fn why(&self, time: i64) -> Option<&Rc<str>> {
        let (range, why) =
            self.ranges.get(self.ranges.partition_point(|(range, _)| range.end <= time))?;
        range.contains(&time).then_some(why)
    }

    /// Whether the datapoint at `time` (seconds since 1970) is muted.
    pub fn contains(&self, time: i64) -> bool {
        self.why(time).is_some()
    }

    /// The ranges in the order of time (seconds since 1970), each with why.
    pub fn iter(&self) -> impl Iterator<Item = (Range<i64>, &str)> {
        self.ranges.iter().map(|(range, why)| (range.clone(), &**why))
    }
}

#[cfg(test)]
mod tests;
