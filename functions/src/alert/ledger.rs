//! The incidents since the last digest, and the digests that wait to be sent.

use std::collections::BTreeMap;

use deepguard::budget::PageLevel;
use deepguard::episode::Change;
use deepguard::incident::{Note, Scope};
use deepguard::shape::Shape;
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Skip;
use serde::{Deserialize, Serialize};

/// The most pages that a digest lists.
const MOST_PAGES: usize = 50;
/// The most notices that it lists, one for each group, ...
const MOST_NOTICES: usize = 10;
/// ... and the most groups with notices that are remembered.
const MOST_GROUPS: usize = 500;
/// The most digests that wait.
const MOST_WAITING: usize = 3;

/// The incidents since the last digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The time of the last digest, in seconds since 1970.
    since: Option<i64>,
    /// How many incidents have paged, ...
    paged: usize,
    /// ... and the first of them.
    pages: Vec<Entry>,
    /// How many episodes have begun that did not page, ...
    noticed: usize,
    /// ... and the strongest of each group.
    notices: Vec<Entry>,
    /// Muted datapoints that would have been anomalies.
    suppressed: usize,
    /// Digests that wait to be sent.
    waiting: Vec<Digest>,
}

/// One line of a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The first instance, and when its episode was reported, in seconds since 1970.
    pub first: (TargetId, i64),
    /// The group of an incident of several instances.
    pub scope: Scope<TargetId>,
    /// The kind of anomaly.
    pub shape: Shape,
    /// The highest score.
    pub peak: f64,
    /// Instances of the incident.
    pub instances: usize,
    /// When it was over, in seconds since 1970; `None` while it lasts.
    pub until: Option<i64>,
    /// Notices of the same group, or of the same instance.
    pub times: usize,
}

/// The facts of a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// The time that it covers, in seconds since 1970.
    pub since: i64,
    /// The end of it.
    pub until: i64,
    /// How many incidents have paged.
    pub paged: usize,
    /// The first of them.
    pub pages: Vec<Entry>,
    /// How many episodes have begun that did not page.
    pub noticed: usize,
    /// The strongest of each group, the strongest first.
    pub notices: Vec<Entry>,
    /// Muted datapoints that would have been anomalies.
    pub suppressed: usize,
    /// The fleet at that time.
    pub coverage: Coverage,
    /// The page level.
    pub level: PageLevel,
}

/// Which instances are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Instances that are watched.
    pub watched: usize,
    /// Those without a recent score, by reason.
    pub skipped: BTreeMap<Skip, usize>,
    /// Instances that are not watched: their tags say so.
    pub left_out: usize,
    /// Watched instances that are muted now.
    pub muted: usize,
}

impl Digest {
    /// Whether there is nothing to tell but the coverage.
    pub fn is_quiet(&self) -> bool {
        self.paged + self.noticed + self.suppressed == 0
    }

    /// The instances that it names.
    pub fn named(&self) -> impl Iterator<Item = &TargetId> {
        self.pages.iter().chain(&self.notices).map(|entry| &entry.first.0)
    }

    /// Adds the digest of other instances up to the same time. The page level is the higher one.
    pub fn add(&mut self, other: Self) {
        self.since = self.since.min(other.since);
        self.paged += other.paged;
        self.pages.extend(other.pages);
        self.pages.sort_by_key(|page| page.first.1);
        self.pages.truncate(MOST_PAGES);
        self.noticed += other.noticed;
        self.notices.extend(other.notices);
        self.notices.sort_by(|a, b| b.peak.total_cmp(&a.peak));
        self.notices.truncate(MOST_NOTICES);
        self.suppressed += other.suppressed;
        self.coverage.add(other.coverage);
        self.level = if other.level > self.level { other.level } else { self.level };
    }
}

impl Coverage {
    fn add(&mut self, other: Self) {
        self.watched += other.watched;
        for (reason, number) in other.skipped {
            *self.skipped.entry(reason).or_default() += number;
        }
        self.left_out += other.left_out;
        self.muted += other.muted;
    }
}

impl Ledger {
    /// Takes a change and its note in.
    pub fn add(&mut self, change: &Change, note: &Note<TargetId>) {
        let entry = Entry {
            first: note.first.clone(),
            scope: note.scope.clone(),
            shape: change.episode().shape,
            peak: change.episode().peak,
            instances: note.joined,
            until: None,
            times: 1,
        };
        match change {
            Change::Began(..) if note.page => self.page(entry),
            Change::Began(..) if !note.paged => self.notice(entry),
            Change::Began(..) => self.join(&entry, None),
            Change::Ended(_, _, at) => self.join(&entry, note.over.then_some(*at)),
        }
    }

    /// Counts muted datapoints that would have been anomalies.
    pub fn suppress(&mut self, datapoints: usize) {
        self.suppressed += datapoints;
    }

    fn page(&mut self, entry: Entry) {
        if let Some(known) = self.pages.iter_mut().find(|known| known.first == entry.first) {
            known.grow(&entry);
            return;
        }
        // It began as a notice.
        let was = self.notices.len();
        self.notices.retain(|notice| notice.first != entry.first);
        self.noticed -= was - self.notices.len();
        self.paged += 1;
        if self.pages.len() < MOST_PAGES {
            self.pages.push(entry);
        }
    }

    fn notice(&mut self, entry: Entry) {
        self.noticed += 1;
        let has_room = self.notices.len() < MOST_GROUPS;
        let is_same = |known: &&mut Entry| known.scope == entry.scope || known.first == entry.first;
        match self.notices.iter_mut().find(is_same) {
            Some(known) => {
                known.times += 1;
                if entry.peak > known.peak {
                    *known = Entry { times: known.times, ..entry };
                }
            }
            None if has_room => self.notices.push(entry),
            None => {}
        }
    }

    /// Notes how an incident goes on, and its end.
    fn join(&mut self, entry: &Entry, until: Option<i64>) {
        let all = self.pages.iter_mut().chain(&mut self.notices);
        for known in all.filter(|known| known.first == entry.first) {
            known.grow(entry);
            known.until = until.or(known.until);
        }
    }

    /// Makes a digest of the time up to `due` (seconds since 1970), if that is later than the last
    /// one. The first run makes no digest: it has nothing to cover.
    pub fn make(&mut self, due: i64, coverage: Coverage, level: PageLevel) -> Option<Digest> {
        let since = match self.since {
            Some(since) if since < due => since,
            Some(_) => return None,
            None => {
                self.since = Some(due);
                return None;
            }
        };
        let Self { paged, pages, noticed, mut notices, suppressed, waiting, .. } =
            std::mem::take(self);
        notices.sort_by(|a, b| b.peak.total_cmp(&a.peak));
        notices.truncate(MOST_NOTICES);
        *self = Self { since: Some(due), waiting, ..Self::default() };
        Some(Digest {
            since,
            until: due,
            paged,
            pages,
            noticed,
            notices,
            suppressed,
            coverage,
            level,
        })
    }

    /// Lets a digest wait until it is sent.
    pub fn wait(&mut self, digest: Digest) {
        self.waiting.push(digest);
        let surplus = self.waiting.len().saturating_sub(MOST_WAITING);
        self.waiting.drain(..surplus);
    }

    /// Takes over from another division of the fleet what is about instances that this part
    /// `holds`, and the time of the last digest. A digest that waits goes to the part that holds
    /// the first instance it names.
    pub fn take_over(&mut self, other: Self, holds: impl Fn(&TargetId) -> bool) {
        self.since = self.since.or(other.since);
        let is_new = |known: &[Entry], entry: &Entry| {
            holds(&entry.first.0) && !known.iter().any(|known| known.first == entry.first)
        };
        for page in other.pages {
            if is_new(&self.pages, &page) {
                self.page(page);
            }
        }
        for notice in other.notices {
            if is_new(&self.notices, &notice) {
                self.noticed += notice.times.saturating_sub(1);
                self.notice(notice);
            }
        }
        for digest in other.waiting {
            if digest.named().next().is_some_and(&holds) && !self.waiting.contains(&digest) {
                self.waiting.push(digest);
            }
        }
    }

    /// The digests that wait.
    pub fn waiting(&self) -> &[Digest] {
        &self.waiting
    }

    /// The instances that the waiting digests name.
    pub fn named(&self) -> impl Iterator<Item = &TargetId> {
        self.waiting.iter().flat_map(Digest::named)
    }

    /// Forgets the digests that do not wait any more: all but those at these positions.
    pub fn sent_but(&mut self, failed: &[usize]) {
        let mut position = 0;
        self.waiting.retain(|_| {
            position += 1;
            failed.contains(&(position - 1))
        });
    }
}

impl Entry {
    fn grow(&mut self, other: &Self) {
        self.peak = self.peak.max(other.peak);
        self.instances = self.instances.max(other.instances);
        self.scope.clone_from(&other.scope);
    }
}

#[cfg(test)]
mod tests {
    use deepguard::episode::{End, Episodes, MOfN};

    use super::*;
    use crate::testing::{instance, scored};

    fn began(number: usize, time: i64, score: f64) -> (Change, Note<TargetId>) {
        let change = Episodes::default().update(&scored(time, score), MOfN::default()).remove(0);
        (change, Note::of_one(&instance(number), time))
    }

    fn quiet(note: Note<TargetId>) -> Note<TargetId> {
        Note { page: false, paged: false, ..note }
    }

    #[test]
    fn a_digest_has_the_pages_and_the_strongest_notice_of_each_instance() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.make(0, Coverage::default(), PageLevel::default()), None, "the first");
        let (change, note) = began(1, 300, 3.0);
        ledger.add(&change, &note);
        let ended = Change::Ended(*change.episode(), End::Recovered, 3600);
        ledger.add(&ended, &Note { over: true, ..note });
        for (number, score) in [(2, 1.1), (3, 1.3), (2, 1.2)] {
            let (change, note) = began(number, 600, score);
            ledger.add(&change, &quiet(note));
        }
        ledger.suppress(4);
        assert_eq!(ledger.make(0, Coverage::default(), PageLevel::default()), None, "not due");
        let digest = ledger.make(86_400, Coverage::default(), PageLevel::default()).unwrap();
        assert_eq!((digest.paged, digest.noticed, digest.suppressed), (1, 3, 4));
        assert_eq!((digest.pages[0].until, digest.pages[0].peak), (Some(3600), 3.0));
        let notices: Vec<_> =
            digest.notices.iter().map(|entry| (entry.first.0.clone(), entry.times)).collect();
        assert_eq!(notices, [(instance(3), 1), (instance(2), 2)]);
        assert!(!digest.is_quiet());
        let next = ledger.make(2 * 86_400, Coverage::default(), PageLevel::default()).unwrap();
        assert!(next.is_quiet() && next.since == 86_400);
    }

    #[test]
    fn digests_wait_until_they_are_sent_and_not_without_end() {
        let mut ledger = Ledger::default();
        for day in 0..6 {
            let digest = ledger.make(day * 86_400, Coverage::default(), PageLevel::default());
            digest.into_iter().for_each(|digest| ledger.wait(digest));
        }
        let waiting = |ledger: &Ledger| -> Vec<i64> {
            ledger.waiting().iter().map(|digest| digest.until / 86_400).collect()
        };
        assert_eq!(waiting(&ledger), [3, 4, 5]);
        ledger.sent_but(&[1]);
        assert_eq!(waiting(&ledger), [4]);
        ledger.sent_but(&[]);
        assert_eq!(waiting(&ledger), [0; 0]);
    }

    #[test]
    fn another_division_of_the_fleet_takes_each_line_over_once() {
        let mut whole = Ledger::default();
        whole.make(0, Coverage::default(), PageLevel::default());
        let (change, note) = began(1, 300, 3.0);
        whole.add(&change, &note);
        let digest = whole.make(86_400, Coverage::default(), PageLevel::default()).unwrap();
        whole.wait(digest);
        for (number, page) in [(2, true), (3, true), (4, false), (4, false), (5, false)] {
            let (change, note) = began(number, 86_700 + 300 * number as i64, 2.0);
            whole.add(&change, &if page { note } else { quiet(note) });
        }
        let mut parts = [Ledger::default(), Ledger::default()];
        for (even, part) in parts.iter_mut().enumerate() {
            let holds = |id: &TargetId| (0..6).any(|n| instance(2 * n + even) == *id);
            part.take_over(whole.clone(), holds);
            part.take_over(whole.clone(), holds);
        }
        let lines = |ledger: &Ledger| (ledger.paged, ledger.noticed, ledger.waiting.len());
        assert_eq!(parts.each_ref().map(lines), [(1, 2, 0), (1, 1, 1)]);
        assert_eq!(parts.each_ref().map(|part| part.since), [Some(86_400); 2]);
    }
}
