//! The digests of the parts of a divided fleet, which become one.
//!
//! Each part gives its digest to the first one, which merges them, tells the others whose digests
//! it has, and sends the message. A part that is not in it, because it was late, sends its own.

use std::collections::BTreeSet;

use deepguard::incident::Quiet;
use deepguard_aws::ids::TargetId;
use serde::{Deserialize, Serialize};

use crate::alert::ledger::Digest;
use crate::spent::Used;

/// The most digests that wait.
const MOST_WAITING: usize = 3;

/// The digest of a part of the fleet, or of several together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    /// Its facts.
    pub digest: Digest,
    /// What is quiet.
    pub quiet: Vec<Quiet<TargetId>>,
    /// The numbers of the parts that it covers.
    pub parts: BTreeSet<u32>,
    /// What they have used in this month.
    pub used: Used,
}

/// The parts whose digests the first part tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The end of the time that the digests cover, in seconds since 1970.
    pub due: i64,
    /// Their numbers.
    pub parts: BTreeSet<u32>,
}

/// A digest of this part that is not told of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The digest.
    pub shared: Shared,
    /// Whether the first part can read it.
    pub given: bool,
}

/// The digests of one part of a divided fleet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Together {
    /// Those of this part that wait for the other parts.
    pub kept: Vec<Kept>,
    /// Those to be sent.
    pub ready: Vec<Shared>,
    /// What the first part has to tell the others.
    pub told: Vec<Told>,
}

impl Together {
    /// Keeps a digest of this part until the others have theirs.
    pub fn keep(&mut self, shared: Shared) {
        self.kept.push(Kept { shared, given: false });
        let surplus = self.kept.len().saturating_sub(MOST_WAITING);
        self.kept.drain(..surplus);
    }

    /// Whether nothing is to be sent or told.
    pub fn is_done(&self) -> bool {
        self.ready.is_empty() && self.told.is_empty()
    }

    /// Forgets what was to be sent and told: another process has done it.
    pub fn done(&mut self) {
        self.ready.clear();
        self.told.clear();
    }

    /// Takes over the digests of another division of the fleet. Each goes to the part that `holds`
    /// the first instance that it names.
    pub fn take_over(&mut self, other: Self, holds: impl Fn(&TargetId) -> bool) {
        let kept = other.kept.into_iter().map(|kept| kept.shared);
        for shared in other.ready.into_iter().chain(kept) {
            let is_ours = shared.named().next().is_some_and(&holds);
            if is_ours && !self.ready.contains(&shared) {
                self.ready.push(shared);
            }
        }
    }
}

impl Shared {
    /// One digest of several that end at the same time.
    pub fn merge(mut self, other: Self) -> Self {
        self.digest.add(other.digest);
        self.quiet.extend(other.quiet);
        self.parts.extend(other.parts);
        self.used += other.used;
        self
    }

    /// The instances that it names.
    pub fn named(&self) -> impl Iterator<Item = &TargetId> {
        let quiet = self.quiet.iter().map(|quiet| &quiet.first.0);
        self.digest.named().chain(quiet)
    }
}

#[cfg(test)]
mod tests {
    use deepguard::budget::PageLevel;
    use deepguard::incident::Scope;
    use deepguard::shape::Shape;
    use deepguard_aws::metric::Skip;

    use super::*;
    use crate::alert::ledger::{Coverage, Entry};
    use crate::testing::instance;

    fn entry(number: usize, peak: f64) -> Entry {
        Entry {
            scope: Scope::Machine(instance(number)),
            first: (instance(number), 1000 - number as i64),
            shape: Shape::Spike,
            peak,
            instances: 1,
            until: None,
            times: 1,
        }
    }

    fn of(part: u32, pages: usize, notices: &[f64]) -> Shared {
        let number = |n: usize| 100 * part as usize + n;
        let digest = Digest {
            since: 100 + i64::from(part),
            until: 86_400,
            paged: pages,
            pages: (0..pages).map(|n| entry(number(n), 3.0)).collect(),
            noticed: notices.len(),
            notices: notices.iter().map(|peak| entry(number(50), *peak)).collect(),
            suppressed: 1,
            coverage: Coverage {
                watched: 10,
                skipped: [(Skip::NoBaseline, 1)].into(),
                left_out: 2,
                muted: 3,
            },
            level: PageLevel::new(1.0 + f64::from(part) / 10.0),
        };
        let used = Used { reads: 10, metric_hours: 1 };
        Shared { digest, quiet: Vec::new(), parts: [part].into(), used }
    }

    #[test]
    fn parts_add_up_and_the_strongest_of_all_are_listed() {
        let all = of(0, 2, &[1.1, 1.6]).merge(of(1, 0, &[])).merge(of(2, 1, &[1.4]));
        assert_eq!((&all.parts, all.used.reads), (&[0, 1, 2].into(), 30));
        let Digest { since, paged, noticed, suppressed, coverage, level, .. } = all.digest.clone();
        assert_eq!((since, paged, noticed, suppressed), (100, 3, 3, 3));
        assert_eq!((coverage.watched, coverage.left_out, coverage.muted), (30, 6, 9));
        assert_eq!(coverage.skipped, [(Skip::NoBaseline, 3)].into());
        assert_eq!(level, PageLevel::new(1.2), "the highest");
        let peaks: Vec<f64> = all.digest.notices.iter().map(|entry| entry.peak).collect();
        assert_eq!(peaks, [1.6, 1.4, 1.1]);
        let pages: Vec<&TargetId> = all.digest.pages.iter().map(|entry| &entry.first.0).collect();
        assert_eq!(pages, [&instance(200), &instance(1), &instance(0)], "in order of time");
        let many = (1..30).fold(of(0, 9, &[1.5]), |all, part| all.merge(of(part, 9, &[1.5])));
        assert_eq!((many.digest.pages.len(), many.digest.notices.len()), (50, 10));
        assert_eq!((many.digest.paged, many.digest.noticed), (270, 30));
    }

    #[test]
    fn digests_of_another_division_go_to_the_part_of_their_first_instance() {
        let mut other = Together::default();
        (0..5).for_each(|part| other.keep(of(part, 1, &[])));
        assert_eq!(other.kept.len(), MOST_WAITING);
        other.ready.push(of(9, 1, &[]));
        let mut parts = [Together::default(), Together::default()];
        for (number, part) in parts.iter_mut().enumerate() {
            let first = |id: &TargetId| *id == instance(900);
            part.take_over(other.clone(), |id| first(id) == (number == 0));
            part.take_over(other.clone(), |id| first(id) == (number == 0));
        }
        let [first, second] = parts.map(|part| part.ready.len());
        assert_eq!((first, second), (1, 3));
    }
}
