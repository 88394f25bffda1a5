//! Computes how many false pages a week a threshold gives, and how much it finds.
//!
//! A page is a datapoint at which one could begin by the detector's own rule. It has at least the
//! threshold's score, and no page comes in the half day before. So one pass serves any threshold.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use deepguard::series::{PERIOD, WEEK};

use super::data::Span;

/// A page as near as this to a labelled stretch belongs to it, in seconds.
pub(crate) const SLACK: i64 = 30 * 60;
/// At most one page in this time, in seconds.
const APART: i64 = 12 * 3600;
/// Seconds in a week.
const WEEK_SECONDS: f64 = (WEEK as i64 * PERIOD) as f64;

/// The datapoints of one series at which a page could begin: start and score, by time.
pub(crate) type Fresh = Vec<(i64, f64)>;

/// A series in which pages are false.
#[derive(Debug, Clone)]
pub(super) struct Quiet {
    pub(super) machine: usize,
    pub(super) track: usize,
    /// The period in which pages count, in seconds since 1970.
    pub(super) judged: Range<i64>,
    /// Stretches that are excluded.
    pub(super) labelled: Vec<Span>,
}

/// Something to find.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) machine: usize,
    pub(super) kind: &'static str,
    pub(super) track: usize,
    pub(super) span: Span,
    /// The same series without the fault: a page that occurs there as well is no find.
    pub(super) clean: Option<usize>,
}

/// The truth about some machines. Their series are tracks, numbered.
#[derive(Debug, Clone, Default)]
pub(super) struct Truth {
    pub(super) machines: usize,
    pub(super) quiet: Vec<Quiet>,
    pub(super) wanted: Vec<Wanted>,
}

/// The starts of the pages at a threshold.
pub(crate) fn pages(fresh: &[(i64, f64)], threshold: f64) -> Vec<i64> {
    let mut pages: Vec<i64> = Vec::new();
    for &(time, _) in fresh.iter().filter(|(_, score)| *score >= threshold) {
        if pages.last().is_none_or(|last| time - last >= APART) {
            pages.push(time);
        }
    }
    pages
}

impl Quiet {
    fn weeks(&self) -> f64 {
        (self.judged.end - self.judged.start) as f64 / WEEK_SECONDS
    }

    fn false_pages(&self, pages: &[i64]) -> usize {
        let labelled = |page: i64| {
            self.labelled
                .iter()
                .any(|span| (span.start() - SLACK..=span.end() + SLACK).contains(&page))
        };
        pages.iter().filter(|&&page| self.judged.contains(&page) && !labelled(page)).count()
    }
}

impl Wanted {
    /// Seconds from the start to the page that finds it. Negative where the page came just before a
    /// labelled stretch.
    fn found(&self, pages: &[Vec<i64>]) -> Option<i64> {
        let lead = if self.clean.is_some() { 0 } else { SLACK };
        let reach = self.span.start() - lead..=self.span.end() + SLACK;
        let anyway = |page: i64| {
            self.clean
                .is_some_and(|clean| pages[clean].iter().any(|other| (other - page).abs() <= SLACK))
        };
        let page =
            pages[self.track].iter().find(|&&page| reach.contains(&page) && !anyway(page))?;
        Some(page - self.span.start())
    }
}

impl Truth {
    /// The kinds of targets, in the order in which they come.
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        let mut kinds = Vec::new();
        for wanted in &self.wanted {
            if !kinds.contains(&wanted.kind) {
                kinds.push(wanted.kind);
            }
        }
        kinds
    }

    /// Weeks of all machines in which pages are false.
    pub(super) fn weeks(&self) -> f64 {
        self.quiet.iter().map(Quiet::weeks).sum()
    }

    /// The numbers of all machines.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.machines).collect()
    }
}

/// One detector's results on the tracks, at any threshold. Machines are given by their numbers,
/// with repetitions.
#[derive(Debug)]
pub(super) struct Sweep<'a> {
    truth: &'a Truth,
    tracks: &'a [Fresh],
    /// Distinct thresholds, rising: the scores of the series in which pages are false.
    candidates: Vec<f64>,
    /// Weeks of each machine.
    weeks: Vec<f64>,
    /// False pages of each machine, by the bits of the threshold.
    false_pages: RefCell<HashMap<u64, Rc<[usize]>>>,
    /// For each target, seconds to the page that finds it, by the bits of the threshold.
    found: RefCell<HashMap<u64, Rc<[Option<i64>]>>>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(truth: &'a Truth, tracks: &'a [Fresh]) -> Self {
        let scores = truth
            .quiet
            .iter()
            .flat_map(|quiet| tracks[quiet.track].iter().map(|(_, score)| *score));
        let mut candidates: Vec<f64> = scores.collect();
        candidates.sort_unstable_by(f64::total_cmp);
        candidates.dedup();
        let mut weeks = vec![0.0; truth.machines];
        truth.quiet.iter().for_each(|quiet| weeks[quiet.machine] += quiet.weeks());
        Self {
            truth,
            tracks,
            candidates,
            weeks,
            false_pages: RefCell::default(),
            found: RefCell::default(),
        }
    }

    /// The tracks that the results are about.
    pub(super) fn tracks(&self) -> &'a [Fresh] {
        self.tracks
    }

    fn false_pages(&self, threshold: f64) -> Rc<[usize]> {
        let counted = || {
            let mut counts = vec![0; self.truth.machines];
            for quiet in &self.truth.quiet {
                counts[quiet.machine] +=
                    quiet.false_pages(&pages(&self.tracks[quiet.track], threshold));
            }
            counts.into()
        };
        Rc::clone(self.false_pages.borrow_mut().entry(threshold.to_bits()).or_insert_with(counted))
    }

    /// False pages per machine and week.
    pub(super) fn rate(&self, threshold: f64, machines: &[usize]) -> f64 {
        let counts = self.false_pages(threshold);
        let pages: usize = machines.iter().map(|&machine| counts[machine]).sum();
        pages as f64 / machines.iter().map(|&machine| self.weeks[machine]).sum::<f64>()
    }

    /// The lowest threshold that gives at most `rate` false pages per machine and week. The highest
    /// score if no threshold does.
    pub(super) fn threshold(&self, rate: f64, machines: &[usize]) -> f64 {
        let fits = |threshold: &f64| self.rate(*threshold, machines) <= rate;
        let first = self.candidates.partition_point(|threshold| !fits(threshold));
        self.candidates.get(first).or(self.candidates.last()).copied().unwrap_or(f64::INFINITY)
    }

    /// For each target, seconds to the page that finds it.
    pub(super) fn found(&self, threshold: f64) -> Rc<[Option<i64>]> {
        let found = || {
            let pages: Vec<Vec<i64>> =
                self.tracks.iter().map(|fresh| pages(fresh, threshold)).collect();
            self.truth.wanted.iter().map(|wanted| wanted.found(&pages)).collect()
        };
        Rc::clone(self.found.borrow_mut().entry(threshold.to_bits()).or_insert_with(found))
    }

    /// Percent found, the mean over the kinds.
    pub(super) fn percent(&self, threshold: f64, machines: &[usize]) -> f64 {
        let found = self.found(threshold);
        let mut times = vec![0u32; self.truth.machines];
        machines.iter().for_each(|&machine| times[machine] += 1);
        let mut kinds: HashMap<&str, (u32, u32)> = HashMap::new();
        for (wanted, found) in self.truth.wanted.iter().zip(found.iter()) {
            let (hits, all) = kinds.entry(wanted.kind).or_default();
            *hits += times[wanted.machine] * u32::from(found.is_some());
            *all += times[wanted.machine];
        }
        let mut shares: Vec<f64> = kinds
            .values()
            .filter(|(_, all)| *all > 0)
            .map(|&(hits, all)| 100.0 * f64::from(hits) / f64::from(all))
            .collect();
        // Sums in an order that does not depend on the map's, because sums of floats depend on it.
        shares.sort_unstable_by(f64::total_cmp);
        shares.iter().sum::<f64>() / shares.len() as f64
    }

    /// Percent found at `rate` false pages per machine and week, on the same machines.
    pub(super) fn percent_at(&self, rate: f64, machines: &[usize]) -> f64 {
        self.percent(self.threshold(rate, machines), machines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    const WEEK: i64 = 7 * 24 * HOUR;

    #[test]
    fn a_page_needs_the_score_and_half_a_day_without_one() {
        let fresh = [
            (0, 2.0),
            (HOUR, 3.0),
            (12 * HOUR - 1, 9.0),
            (12 * HOUR, 2.0),
            (25 * HOUR, 1.0),
            (26 * HOUR, 2.0),
        ];
        assert_eq!(pages(&fresh, 2.0), [0, 12 * HOUR, 26 * HOUR]);
        assert_eq!(pages(&fresh, 2.5), [HOUR], "eleven hours later is too soon");
        assert_eq!(pages(&fresh, 9.5), [0; 0]);
    }

    /// Two machines of two weeks each: the first has three false pages and a window, the second one
    /// false page.
    fn case() -> (Truth, Vec<Fresh>) {
        let quiet =
            |machine, labelled| Quiet { machine, track: machine, judged: WEEK..3 * WEEK, labelled };
        let window = 2 * WEEK..=2 * WEEK + HOUR;
        let elsewhere = 2 * WEEK + 48 * HOUR..=2 * WEEK + 50 * HOUR;
        let wanted = Wanted { machine: 0, kind: "a", track: 0, span: window.clone(), clean: None };
        let truth = Truth {
            machines: 2,
            quiet: vec![quiet(0, vec![window, elsewhere]), quiet(1, vec![])],
            wanted: vec![wanted],
        };
        let first = vec![
            (WEEK - 24 * HOUR, 9.0),
            (WEEK + 24 * HOUR, 5.0),
            (WEEK + 48 * HOUR, 4.0),
            (WEEK + 72 * HOUR, 2.0),
            (2 * WEEK - HOUR / 2, 3.0),
            (2 * WEEK + 51 * HOUR - HOUR / 2, 6.0),
        ];
        (truth, vec![first, vec![(2 * WEEK, 3.5)]])
    }

    #[test]
    fn a_sweep_worked_out_by_hand() {
        let (truth, tracks) = case();
        let sweep = Sweep::new(&truth, &tracks);
        assert_eq!(truth.weeks(), 4.0);
        // Scores 5, 4, 2 of the first and 3.5 of the second are false; 9 is too early, 3 hits, 6 is
        // in what another metric shows.
        let both = truth.all();
        let rates = [(6.0, 0.0), (5.0, 0.25), (4.0, 0.5), (3.5, 0.75), (3.0, 0.75), (2.0, 1.0)];
        for (threshold, rate) in rates {
            assert_eq!(sweep.rate(threshold, &both), rate, "{threshold}");
        }
        let thresholds = [(0.0, 6.0), (0.25, 5.0), (0.6, 4.0), (0.75, 3.0), (5.0, 2.0)];
        for (rate, threshold) in thresholds {
            assert_eq!(sweep.threshold(rate, &both), threshold, "{rate}");
        }
        assert_eq!((sweep.percent_at(0.75, &both), sweep.percent_at(0.5, &both)), (100.0, 0.0));
        assert_eq!(*sweep.found(3.0), [Some(-HOUR / 2)], "half an hour before the window");
        // On the first machine alone, and on it twice, one false page is half a page a week.
        assert_eq!(
            (sweep.rate(5.0, &[0]), sweep.rate(5.0, &[0, 0]), sweep.rate(5.0, &[1])),
            (0.5, 0.5, 0.0)
        );
        assert_eq!(sweep.threshold(0.5, &[0, 0]), 5.0);
    }

    #[test]
    fn a_window_of_another_metric_is_neither_right_nor_false() {
        let (mut truth, tracks) = case();
        assert_eq!(Sweep::new(&truth, &tracks).rate(6.0, &[0]), 0.0);
        truth.quiet[0].labelled.pop();
        assert_eq!(
            Sweep::new(&truth, &tracks).rate(6.0, &[0]),
            0.5,
            "without the window it is false"
        );
        assert!(
            Sweep::new(&truth, &tracks).found(6.0).iter().all(Option::is_none),
            "and it finds nothing"
        );
    }

    #[test]
    fn what_pages_without_the_fault_is_no_find_and_a_page_before_it_neither() {
        let span = 100 * HOUR..=101 * HOUR;
        let wanted = Wanted { machine: 0, kind: "a", track: 1, span, clean: Some(0) };
        let truth = Truth { machines: 1, quiet: Vec::new(), wanted: vec![wanted] };
        let found =
            |clean: Fresh, altered: Fresh| Sweep::new(&truth, &[clean, altered]).found(1.0)[0];
        assert_eq!(found(vec![], vec![(100 * HOUR + 600, 1.0)]), Some(600));
        assert_eq!(found(vec![(100 * HOUR, 1.0)], vec![(100 * HOUR + 600, 1.0)]), None);
        assert_eq!(found(vec![(99 * HOUR, 1.0)], vec![(100 * HOUR + 600, 1.0)]), Some(600));
        assert_eq!(found(vec![], vec![(100 * HOUR - 300, 1.0)]), None);
        assert_eq!(found(vec![], vec![(101 * HOUR + SLACK + 1, 1.0)]), None);
    }

    #[test]
    fn kinds_count_the_same_however_often_they_come() {
        let wanted = |kind, track| Wanted { machine: 0, kind, track, span: 0..=HOUR, clean: None };
        let truth = Truth {
            machines: 1,
            quiet: Vec::new(),
            wanted: vec![wanted("a", 0), wanted("b", 1), wanted("b", 1), wanted("b", 0)],
        };
        let tracks = [vec![(0, 1.0)], vec![]];
        let sweep = Sweep::new(&truth, &tracks);
        assert!((sweep.percent(1.0, &[0]) - (100.0 + 100.0 / 3.0) / 2.0).abs() < 1e-9);
        assert!(sweep.percent(1.0, &[]).is_nan());
        assert_eq!(truth.kinds(), ["a", "b"]);
    }
}
