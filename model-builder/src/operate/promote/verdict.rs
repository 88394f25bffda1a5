//! Shows the comparison, and the objections to the candidate.

use std::collections::BTreeMap;

use comfy_table::Table;
use deepguard::series::WEEK;
use deepguard_aws::ids::TargetId;
use jiff::Timestamp;
use serde::Serialize;

use crate::common::labels::{Label, Verdict};

/// Instances that are listed one by one: those that differ most.
const TOLD: usize = 20;

/// One model's result on one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Side {
    /// Datapoints that were scored.
    pub(super) scored: usize,
    /// When it would have paged.
    pub(super) pages: Vec<Timestamp>,
}

/// Both models' results on one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Pair {
    pub(super) current: Side,
    pub(super) candidate: Side,
}

/// By instance.
pub(super) type Pairs = BTreeMap<TargetId, Pair>;

/// The pages of several instances.
pub(super) fn total<'a>(sides: impl Iterator<Item = &'a Side>) -> (usize, usize) {
    sides.fold((0, 0), |(scored, pages), side| (scored + side.scored, pages + side.pages.len()))
}

/// A label, and whether each model raises an alarm there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LabelResult {
    #[serde(flatten)]
    pub(super) label: Label,
    pub(super) current: bool,
    pub(super) candidate: bool,
}

/// Both models on the same CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Comparison {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) instances: Pairs,
    pub(super) labels: Vec<LabelResult>,
    /// Instances that could not be read, and why.
    pub(super) unread: BTreeMap<TargetId, String>,
    /// How many instances have too little history.
    pub(super) unscored: usize,
    /// How many labels lie where no datapoint was scored.
    pub(super) unjudged: usize,
}

/// An objection to the candidate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Objection {
    /// It pages more.
    #[error(
        "it pages {candidate:.2} times per instance and week, the current model {current:.2} times"
    )]
    MorePages {
        /// The candidate's pages per instance and week.
        candidate: f64,
        /// The current model's.
        current: f64,
    },
    /// It misses an anomaly.
    #[error("it misses the confirmed anomaly of {0} at {1}, which the current model finds")]
    Misses(TargetId, Timestamp),
    /// It raises an alarm that was rejected.
    #[error("it raises the rejected alert of {0} at {1}, which the current model does not raise")]
    Raises(TargetId, Timestamp),
}

impl Comparison {
    pub(super) fn new(from: Timestamp, until: Timestamp) -> Self {
        let (instances, labels, unread) = Default::default();
        Self { from, until, instances, labels, unread, unscored: 0, unjudged: 0 }
    }

    /// Whether nothing was compared.
    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// Datapoints that were scored, and pages: of the current model, of the candidate.
    fn totals(&self) -> [(usize, usize); 2] {
        let pairs = || self.instances.values();
        [total(pairs().map(|pair| &pair.current)), total(pairs().map(|pair| &pair.candidate))]
    }

    /// The objections to the candidate. It must not page more. It must not miss a confirmed anomaly
    /// that is found now, or raise a rejected alarm that is silent now.
    pub(super) fn objections(&self) -> Vec<Objection> {
        let [current, candidate] = self.totals();
        let mut objections = Vec::new();
        // As fractions: equal rates must not differ by rounding.
        if candidate.1 * current.0 > current.1 * candidate.0 {
            objections.push(Objection::MorePages {
                candidate: per_week(candidate),
                current: per_week(current),
            });
        }
        objections.extend(self.labels.iter().filter_map(|judged| {
            let Label { instance, from, .. } = &judged.label;
            match (judged.label.verdict, judged.current, judged.candidate) {
                (Verdict::Confirmed, true, false) => {
                    Some(Objection::Misses(instance.clone(), *from))
                }
                (Verdict::Rejected, false, true) => {
                    Some(Objection::Raises(instance.clone(), *from))
                }
                _ => None,
            }
        }));
        objections
    }

    /// Both models side by side, and below them the instances that differ most.
    pub(super) fn table(&self, current: &str, candidate: &str) -> String {
        let [old, new] = self.totals();
        let labels = |verdict: Verdict, raised: fn(&LabelResult) -> bool| {
            let of: Vec<&LabelResult> =
                self.labels.iter().filter(|judged| judged.label.verdict == verdict).collect();
            format!("{} of {}", of.iter().filter(|judged| raised(judged)).count(), of.len())
        };
        let mut table = Table::new();
        table.set_header([
            format!("{} to {}", self.from, self.until),
            format!("current {current}"),
            format!("candidate {candidate}"),
        ]);
        let mut row = |name: &str, current: String, candidate: String| {
            table.add_row([name.into(), current, candidate]);
        };
        let count = self.instances.len().to_string();
        row("instances", count.clone(), count);
        row("weeks of CPU", format!("{:.1}", weeks(old)), format!("{:.1}", weeks(new)));
        row("pages", old.1.to_string(), new.1.to_string());
        row(
            "pages per instance and week",
            format!("{:.2}", per_week(old)),
            format!("{:.2}", per_week(new)),
        );
        for (name, verdict) in
            [("confirmed, found", Verdict::Confirmed), ("rejected, raised", Verdict::Rejected)]
        {
            row(
                name,
                labels(verdict, |judged| judged.current),
                labels(verdict, |judged| judged.candidate),
            );
        }
        let mut text = table.to_string();
        let mut differ: Vec<_> = self
            .instances
            .iter()
            .filter(|(_, pair)| pair.current.pages != pair.candidate.pages)
            .collect();
        if !differ.is_empty() {
            let difference =
                |pair: &Pair| pair.current.pages.len().abs_diff(pair.candidate.pages.len());
            differ.sort_by_key(|(_, pair)| std::cmp::Reverse(difference(pair)));
            let mut table = Table::new();
            table.set_header(["instances that differ most", "pages, current", "pages, candidate"]);
            for (instance, pair) in differ.iter().take(TOLD) {
                let pages = |side: &Side| side.pages.len().to_string();
                table.add_row([instance.to_string(), pages(&pair.current), pages(&pair.candidate)]);
            }
            text += &format!("\n{table}");
        }
        text
    }
}

/// The objections to a candidate, as text for a person.
pub(super) fn objections_table(objections: &[Objection]) -> Table {
    let mut table = Table::new();
    table.set_header(["objection to the candidate"]);
    table.add_rows(objections.iter().map(|objection| [objection.to_string()]));
    table
}

fn weeks((scored, _): (usize, usize)) -> f64 {
    scored as f64 / WEEK as f64
}

fn per_week(side @ (scored, pages): (usize, usize)) -> f64 {
    if scored == 0 { 0.0 } else { pages as f64 / weeks(side) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::promote::contest::pair;
    use crate::testing::instance;

    fn comparison(pairs: impl IntoIterator<Item = Pair>) -> Comparison {
        let time = |second| Timestamp::from_second(second).unwrap();
        let instances =
            pairs.into_iter().enumerate().map(|(number, pair)| (instance(number), pair)).collect();
        Comparison { instances, ..Comparison::new(time(0), time(1)) }
    }

    fn judged(verdict: Verdict, current: bool, candidate: bool) -> LabelResult {
        let time = Timestamp::from_second(0).unwrap();
        let by = "me".parse().unwrap();
        let label = Label {
            instance: instance(0),
            from: time,
            until: time,
            verdict,
            note: None,
            by,
            at: time,
        };
        LabelResult { label, current, candidate }
    }

    #[test]
    fn it_may_page_elsewhere_but_not_more() {
        let equal = comparison([pair(&[0, 1], &[], 2016), pair(&[], &[5, 9], 2016)]);
        assert_eq!(equal.objections(), []);
        let more = comparison([pair(&[0], &[], 2016), pair(&[], &[5, 9], 2016)]);
        assert_eq!(more.objections(), [Objection::MorePages { candidate: 1.0, current: 0.5 }]);
        assert!(
            comparison([]).objections().is_empty(),
            "there is no objection without a comparison"
        );
        let table = more.table("v1", "v2");
        assert!(
            table.contains("candidate v2")
                && table.contains("1.00")
                && table.contains(instance(1).as_str()),
            "{table}"
        );
    }

    #[test]
    fn it_must_find_what_was_found_and_be_silent_where_it_was_silent() {
        let (confirmed, rejected) = (Verdict::Confirmed, Verdict::Rejected);
        let time = Timestamp::from_second(0).unwrap();
        for (judged, expected) in [
            (judged(confirmed, true, true), None),
            (judged(confirmed, false, false), None),
            (judged(confirmed, false, true), None),
            (judged(confirmed, true, false), Some(Objection::Misses(instance(0), time))),
            (judged(rejected, true, true), None),
            (judged(rejected, true, false), None),
            (judged(rejected, false, true), Some(Objection::Raises(instance(0), time))),
        ] {
            let comparison =
                Comparison { labels: vec![judged.clone()], ..comparison([pair(&[], &[], 10)]) };
            assert_eq!(comparison.objections(), Vec::from_iter(expected), "{judged:?}");
        }
    }
}
