//! Tables of the results on real machines.

use deepguard::series::DAY_SECONDS;

use super::rates::{Quiet, Sweep, Truth};
use super::{MachineGroup, Pictured};
use crate::build::evaluate::bootstrap::{Interval, SEED, bootstrap};
use crate::build::evaluate::charts::Chart;
use crate::build::evaluate::measures::quantile;
use crate::build::evaluate::tables::spread;
use crate::common::table::Table;

/// False pages per machine and week at which detectors are compared, and the rate that gets more
/// detail.
pub(super) const RATES: [f64; 5] = [0.05, 0.1, 0.25, 0.5, 1.0];
pub(super) const RATE: f64 = RATES[2];
/// Resamples of a bootstrap: each searches its threshold anew.
const RESAMPLES: usize = 1000;
/// Days of a young machine, counted from 0.
const YOUNG: std::ops::Range<i64> = 1..14;
/// The index of the detector's own threshold.
pub(super) const SHIPPED: f64 = 1.0;

/// One detector at any threshold; ours with each seed.
#[derive(Debug)]
pub(super) struct Contestant<'a> {
    pub(super) name: &'a str,
    pub(super) sweeps: Vec<Sweep<'a>>,
    /// The threshold that it comes with.
    fixed: Option<f64>,
}

impl Contestant<'_> {
    /// The value of each seed.
    fn each(&self, of: impl Fn(&Sweep<'_>) -> f64) -> Vec<f64> {
        self.sweeps.iter().map(of).collect()
    }

    /// The mean over the seeds.
    pub(super) fn mean(&self, of: impl Fn(&Sweep<'_>) -> f64) -> f64 {
        self.each(of).iter().sum::<f64>() / self.sweeps.len() as f64
    }
}

/// The results of a group.
#[derive(Debug)]
pub(in crate::build::evaluate) struct Told {
    /// A description of the machines, in words.
    pub(in crate::build::evaluate) name: &'static str,
    /// Finds at each rate of false pages.
    pub(in crate::build::evaluate) found: Table,
    /// Finds by kind, at one rate.
    pub(in crate::build::evaluate) by_kind: Table,
    /// Whether thresholds carry over to other machines.
    pub(in crate::build::evaluate) asked_and_had: Table,
    /// The gain from the network, by name.
    pub(in crate::build::evaluate) differences: Vec<(String, Interval)>,
    /// Finds over false pages: the name of the picture, its title and its caption.
    pub(in crate::build::evaluate) curves: (String, Chart, String),
    pub(in crate::build::evaluate) pictured: Vec<Pictured>,
}

impl MachineGroup {
    /// All tables and curves.
    pub(super) fn tell(self) -> Told {
        let contestants = self.contestants();
        Told {
            name: self.name,
            found: self.found(&contestants),
            by_kind: self.by_kind(&contestants),
            asked_and_had: self.asked_and_had(&contestants),
            differences: self.differences(&contestants),
            curves: self.curves(&contestants),
            pictured: self.pictured,
        }
    }

    /// Ours first, then without the network, then all others.
    pub(super) fn contestants(&self) -> Vec<Contestant<'_>> {
        let sweep = |tracks| vec![Sweep::new(&self.truth, tracks)];
        let ours = Contestant {
            name: "DeepGuard",
            sweeps: self.ours.iter().flat_map(|tracks| sweep(tracks)).collect(),
            fixed: Some(SHIPPED),
        };
        let without = Contestant {
            name: "without its network",
            sweeps: sweep(&self.without),
            fixed: Some(SHIPPED),
        };
        let peers = self.peers.iter().map(|(peer, tracks)| Contestant {
            name: peer.name,
            sweeps: sweep(tracks),
            fixed: peer.fixed_threshold,
        });
        [ours, without].into_iter().chain(peers).collect()
    }

    /// Finds at each rate of false pages.
    fn found(&self, contestants: &[Contestant<'_>]) -> Table {
        let all = self.truth.all();
        let row = |contestant: &Contestant<'_>| {
            let at =
                |rate: &f64| spread(&contestant.each(|sweep| sweep.percent_at(*rate, &all)), 0);
            let interval = bootstrap(all.len(), RESAMPLES, SEED, |chosen| {
                contestant.mean(|sweep| sweep.percent_at(RATE, chosen))
            });
            let delay = |sweep: &Sweep<'_>| {
                median_minutes(&self.truth, sweep, sweep.threshold(RATE, &all), None)
            };
            let fixed = |of: &dyn Fn(&Sweep<'_>, f64) -> f64, digits| match contestant.fixed {
                Some(threshold) => spread(&contestant.each(|sweep| of(sweep, threshold)), digits),
                None => "-".into(),
            };
            std::iter::once(contestant.name.to_string())
                .chain(RATES.iter().map(at))
                .chain([
                    interval.map_or("-".into(), |interval| {
                        format!("{:.0} to {:.0}", interval.low, interval.high)
                    }),
                    spread(&contestant.each(delay), 0),
                    fixed(&|sweep, threshold| sweep.percent(threshold, &all), 0),
                    fixed(&|sweep, threshold| sweep.rate(threshold, &all), 2),
                    fixed(&|sweep, threshold| self.young(sweep, threshold), 2),
                ])
                .collect()
        };
        let header = std::iter::once("detector".to_string())
            .chain(RATES.iter().map(|rate| format!("{rate} a week")))
            .chain([format!("95 % at {RATE}"), format!("minutes at {RATE}")])
            .chain(["found as it comes", "false a week", "days 2 to 14"].map(String::from));
        let wanted = self.truth.wanted.len();
        Table {
            title: format!(
                "Real machines, {}: % found by false pages per machine and week",
                self.name
            ),
            note: format!(
                "{} machines, {} series, {:.1} machine-weeks in which a page is a false one (from \
                 day 14 on, or since labels begin), {wanted} things to find; the mean over their \
                 kinds. A page: higher than all of the half day before (DeepGuard: of the day \
                 before), at least the threshold, none in the half day before. What pages without \
                 the fault as well is no find; what another metric of the machine shows is neither \
                 right nor false. Each detector's threshold is set for the rate on these machines; \
                 95 %: machines resampled, the threshold set anew each time. Minutes: median, from \
                 its start to the page. As it comes: at the detector's own threshold. Several \
                 seeds: mean (range).",
                self.machines.len(),
                self.truth.quiet.len(),
                self.truth.weeks(),
            ),
            header: header.collect(),
            rows: contestants.iter().map(row).collect(),
            strong: vec![0],
        }
    }

    /// Finds of each kind, and how fast ours finds them.
    fn by_kind(&self, contestants: &[Contestant<'_>]) -> Table {
        let all = self.truth.all();
        let row = |kind: &'static str| {
            let cell = |contestant: &Contestant<'_>| {
                format!(
                    "{:.0}",
                    contestant.mean(|sweep| self.percent_of(
                        sweep,
                        sweep.threshold(RATE, &all),
                        kind
                    ))
                )
            };
            let minutes = contestants[0].each(|sweep| {
                median_minutes(&self.truth, sweep, sweep.threshold(RATE, &all), Some(kind))
            });
            let cells = contestants.iter().map(cell);
            std::iter::once(kind.to_string())
                .chain(cells.take(1))
                .chain([spread(&minutes, 0)])
                .chain(contestants[1..].iter().map(cell))
                .collect()
        };
        let names = contestants[1..].iter().map(|contestant| contestant.name.to_string());
        Table {
            title: format!(
                "Real machines, {}: % found of each kind at {RATE} false pages a week",
                self.name
            ),
            note: "Minutes: median, from its start to the page. Of several seeds, the mean.".into(),
            header: ["kind", "DeepGuard", "its minutes"]
                .map(String::from)
                .into_iter()
                .chain(names)
                .collect(),
            rows: self.truth.kinds().into_iter().map(row).collect(),
            strong: Vec::new(),
        }
    }

    /// Whether a threshold keeps its promise on machines that it was not set on.
    fn asked_and_had(&self, contestants: &[Contestant<'_>]) -> Table {
        let halves = [0, 1].map(|half| {
            (0..self.machines.len()).filter(|machine| machine % 2 == half).collect::<Vec<_>>()
        });
        let row = |contestant: &Contestant<'_>| {
            let had = |rate: &f64| {
                let of = |set: usize| {
                    contestant.mean(|sweep| {
                        sweep.rate(sweep.threshold(*rate, &halves[set]), &halves[1 - set])
                    })
                };
                format!("{:.2} and {:.2}", of(0), of(1))
            };
            std::iter::once(contestant.name.to_string()).chain(RATES.iter().map(had)).collect()
        };
        let header = std::iter::once("detector".to_string())
            .chain(RATES.iter().map(|rate| format!("asked for {rate}")));
        Table {
            title: format!(
                "Real machines, {}: false pages a week on machines that the threshold was not set \
                 on",
                self.name
            ),
            note: "The threshold is set for the rate on every other machine, and the other half \
                   counts; then the other way round. Of several seeds, the mean."
                .into(),
            header: header.collect(),
            rows: contestants.iter().map(row).collect(),
            strong: vec![0],
        }
    }

    /// The gain from the network at each rate, in percentage points of finds.
    fn differences(&self, contestants: &[Contestant<'_>]) -> Vec<(String, Interval)> {
        let [ours, without, ..] = contestants else { return Vec::new() };
        let difference = |rate: f64| {
            let of = |chosen: &[usize]| {
                ours.mean(|sweep| sweep.percent_at(rate, chosen))
                    - without.mean(|sweep| sweep.percent_at(rate, chosen))
            };
            let name =
                format!("% found at {rate} false pages a week, real machines, {}", self.name);
            Some((name, bootstrap(self.machines.len(), RESAMPLES, SEED, of)?))
        };
        RATES.into_iter().filter_map(difference).collect()
    }

    /// False pages per machine and week while machines are young.
    fn young(&self, sweep: &Sweep<'_>, threshold: f64) -> f64 {
        let metrics = self.machines.iter().flat_map(|machine| &machine.metrics);
        let quiet: Vec<Quiet> = self
            .truth
            .quiet
            .iter()
            .zip(metrics)
            .map(|(quiet, metric)| {
                let day = |day: i64| metric.series.start() + day * DAY_SECONDS;
                Quiet { judged: day(YOUNG.start)..day(YOUNG.end), ..quiet.clone() }
            })
            .collect();
        let truth = Truth { quiet, ..self.truth.clone() };
        Sweep::new(&truth, sweep.tracks()).rate(threshold, &truth.all())
    }

    fn percent_of(&self, sweep: &Sweep<'_>, threshold: f64, kind: &str) -> f64 {
        let found = sweep.found(threshold);
        let of_kind =
            self.truth.wanted.iter().zip(found.iter()).filter(|(wanted, _)| wanted.kind == kind);
        let (hits, all) = of_kind
            .fold((0, 0), |(hits, all), (_, found)| (hits + usize::from(found.is_some()), all + 1));
        100.0 * hits as f64 / all as f64
    }
}

/// The median minutes until a page for the finds of one kind, or of all. NaN without a find.
fn median_minutes(truth: &Truth, sweep: &Sweep<'_>, threshold: f64, kind: Option<&str>) -> f64 {
    let found = sweep.found(threshold);
    let of_kind = truth
        .wanted
        .iter()
        .zip(found.iter())
        .filter(|(wanted, _)| kind.is_none_or(|kind| wanted.kind == kind));
    let mut minutes: Vec<f64> =
        of_kind.filter_map(|(_, found)| Some((*found)? as f64 / 60.0)).collect();
    minutes.sort_unstable_by(f64::total_cmp);
    quantile(&minutes, 0.5).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use deepguard::series::PERIOD;
    use deepguard::{Datapoint, Series};

    use super::super::data::{RealMachine, RealSeries};
    use super::super::rates::Fresh;
    use super::super::truth;
    use super::*;

    const DAY: i64 = DAY_SECONDS;

    /// Two machines of three weeks, judged in the last one, with a labelled hour each.
    fn group(tracks: [Fresh; 2]) -> MachineGroup {
        let machine = |number: usize| {
            let points =
                (0..21 * DAY / PERIOD).map(|slot| Datapoint { time: slot * PERIOD, value: 1.0 });
            let metric = RealSeries {
                name: String::new(),
                series: Series::from_datapoints(points).unwrap().0,
                judged_from: 14 * DAY,
                kind: "labelled",
                shown: vec![16 * DAY..=16 * DAY + 3600],
                elsewhere: Vec::new(),
            };
            RealMachine { number, name: number.to_string(), metrics: vec![metric] }
        };
        let machines = vec![machine(0), machine(1)];
        MachineGroup {
            name: "machines",
            short: "machines",
            truth: truth(&machines, &[vec![], vec![]]),
            ours: vec![tracks.to_vec()],
            without: vec![vec![], vec![]],
            peers: Vec::new(),
            pictured: Vec::new(),
            machines,
        }
    }

    #[test]
    fn tables_worked_out_by_hand() {
        // A page while it is young, a false one and a find; on the other machine a false one.
        let first = vec![(5 * DAY, 2.0), (15 * DAY, 1.5), (16 * DAY + 600, 1.2)];
        let told = group([first, vec![(17 * DAY, 1.1)]]).tell();
        let row = &told.found.rows[0];
        // Half a page a week is one on both: from 1.2 on, where the find is. Fewer means zero: from
        // 2 on.
        assert_eq!(row[..6], ["DeepGuard", "0", "0", "0", "50", "50"]);
        // At 1.0 both false pages count; a page in twice thirteen days is 0.27 a week.
        assert_eq!(row[7..], ["-", "50", "1.00", "0.27"]);
        assert_eq!(told.found.rows[1][1..6], ["0"; 5], "without pages nothing is found");
        // Set on the first, it is 2 and the second has none. Set on the second, it is 1.2 and the
        // first has one.
        assert_eq!(told.asked_and_had.rows[0][4], "0.00 and 1.00");
        assert_eq!(told.by_kind.rows, [["labelled", "0", "-", "0"]]);
        let at_half = &told.differences[3];
        let interval = (at_half.1.estimate, at_half.1.low, at_half.1.high);
        // Drawn twice, either machine alone has a threshold at which nothing of it is found.
        assert_eq!(interval, (50.0, 0.0, 50.0), "{}", at_half.0);
        let (_, chart, _) = &told.curves;
        assert_eq!(chart.series[0].points.last().map(|point| point.1), Some(50.0));
    }
}
