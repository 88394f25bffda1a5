//! Mutes, times without alerts: the windows of a file in S3, for named instances, for tags, or for
//! all.
//!
//! The file is `.json` (`json`) or a calendar, `.ics` (`ics`). Either becomes [`Mutes`]; a mute
//! holds once or is repeated (`repeat`). A file with a part that cannot be parsed is refused whole,
//! with its errors. Half a list would not mute the instances that its author expects.
//!
//! A datapoint is muted where any part of its five minutes is.

mod days;
mod ics;
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

use crate::ids::{InstanceId, ObjectUri};
use crate::ports::{Fetched, ObjectError, Objects};
use crate::tags::{TagRule, Tags};

/// The largest file that is read.
pub const MAX_BYTES: usize = 256 * 1024;
/// The most mutes in a file.
pub const MAX_MUTES: usize = 1000;
/// The number of faulty entries that an error describes.
const TOLD: usize = 5;
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
    Instances(BTreeSet<InstanceId>),
    Tags(TagRule),
}

impl Who {
    fn is(&self, instance: &InstanceId, tags: &Tags) -> bool {
        match self {
            Self::All => true,
            Self::Instances(instances) => instances.contains(instance),
            Self::Tags(rule) => rule.holds_for(tags),
        }
    }
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MutesError {
    /// A file of neither kind.
    #[error("{uri} is no list of mutes: its name has to end with .json or .ics")]
    Kind {
        /// Its address.
        uri: ObjectUri,
    },
    /// Its content cannot be parsed.
    #[error("{uri} cannot be used: {}{}", .wrong.join("; "), more(*.others))]
    Content {
        /// Its address.
        uri: ObjectUri,
        /// The errors of the first of the faulty entries.
        wrong: Vec<String>,
        /// How many other faulty entries there are.
        others: usize,
    },
    /// It cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!("; and {others} more") }
}

impl Mutes {
    /// Parses the content of the file at `uri`.
    ///
    /// # Errors
    /// [`MutesError`] names the entries that cannot be parsed, and their errors.
    pub fn parse(uri: &ObjectUri, bytes: &[u8]) -> Result<Self, MutesError> {
        let key = uri.key.to_ascii_lowercase();
        let read = if key.ends_with(".json") {
            json::mutes
        } else if key.ends_with(".ics") {
            ics::mutes
        } else {
            return Err(MutesError::Kind { uri: uri.clone() });
        };
        let parsed = match bytes.len() {
            ..=MAX_BYTES => read(bytes),
            length => {
                Err(vec![format!("it has {length} bytes, more than the {MAX_BYTES} allowed")])
            }
        };
        parsed.map(|mutes| Self { mutes }).map_err(|mut wrong| {
            let others = wrong.len().saturating_sub(TOLD);
            wrong.truncate(TOLD);
            MutesError::Content { uri: uri.clone(), wrong, others }
        })
    }

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
    pub fn at(&self, instance: &InstanceId, tags: &Tags, time: i64) -> Option<&str> {
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
    pub fn of(&self, instance: &InstanceId, tags: &Tags) -> Rc<MutedRanges> {
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

/// The file in S3, read again in each run where it has changed.
#[derive(Debug)]
pub struct MuteFile<O> {
    /// `None`: there is no such file, and nothing is muted.
    uri: Option<ObjectUri>,
    objects: O,
    etag: Option<String>,
    mutes: Rc<Mutes>,
}

impl<O: Objects> MuteFile<O> {
    /// Nothing read yet.
    pub fn new(uri: Option<ObjectUri>, objects: O) -> Self {
        Self { uri, objects, etag: None, mutes: Rc::default() }
    }

    /// The current mutes, and the reason why they may be out of date: the file cannot be read or
    /// used. In that case the last mutes stay in use. Where there is no file, nothing is muted.
    pub async fn current(&mut self) -> (Rc<Mutes>, Option<MutesError>) {
        let Some(uri) = &self.uri else { return (Rc::clone(&self.mutes), None) };
        let stale = match self.objects.get(uri, self.etag.as_deref(), MAX_BYTES).await {
            Ok(Fetched::Unchanged) => None,
            Ok(Fetched::Object { bytes, etag }) => match Mutes::parse(uri, &bytes) {
                Ok(mutes) => {
                    (self.mutes, self.etag) = (Rc::new(mutes), etag);
                    None
                }
                // Not remembered as read: the error is reported in each run until the file is
                // mended.
                Err(error) => Some(error),
            },
            Err(ObjectError::Missing { .. }) => {
                (self.mutes, self.etag) = (Rc::default(), None);
                None
            }
            Err(error) => Some(error.into()),
        };
        (Rc::clone(&self.mutes), stale)
    }
}

#[cfg(test)]
mod tests;
