//! The document: what was measured, in words and tables.

use std::path::Path;

use anyhow::Result;

use super::figures::picture;
use super::plan::Strength;
use super::rules::PageRule;
use super::tails::{Age, Tail};
use super::tally::{Before, Part, Tally};
use super::{Measured, Size};
use crate::build::evaluate::bootstrap::Interval;
use crate::common::files::write_whole;
use crate::common::report::{Report, Section};
use crate::common::table::{Table, strings};

/// Pages for nothing that are allowed, as a part of the budget.
const ALLOWED: f64 = 1.5;

impl Measured {
    /// Writes `fleets.md` into `out` and its picture into `images`, and prints the tables.
    ///
    /// # Errors
    /// Where something cannot be written.
    pub(super) fn write(&self, out: &Path, images: &Path) -> Result<()> {
        let picture = picture(self, &images.join("fleets.png"))?;
        let report = self.report(picture);
        write_whole(&out.join("fleets.md"), report.markdown(Some("images/")).as_bytes())?;
        for table in [
            self.nothing(),
            self.before(),
            self.found(),
            self.minutes(),
            self.once(),
            self.strong(),
            self.newborns.table(),
            self.beside.table(),
        ] {
            println!("{table}");
        }
        for table in self.rates() {
            println!("{table}");
        }
        println!("document: {}", out.join("fleets.md").display());
        Ok(())
    }

    /// The document.
    pub(super) fn report(&self, picture: crate::common::report::Picture) -> Report {
        let mut rates = Section::new("False pages down to low rates").paragraph(RATES_TEXT);
        for table in self.rates() {
            rates = rates.table(table);
        }
        Report {
            title: "Fleets".into(),
            subtitle: format!(
                "Made by make fleets, with the artifact {}. Fleets are generated, seed {}; the \
                 same seed gives the same figures.",
                self.version, self.args.seed
            ),
            sections: vec![
                Section::new("What people are told")
                    .picture(picture)
                    .table(self.nothing())
                    .table(self.before())
                    .table(self.found())
                    .table(self.minutes())
                    .table(self.once())
                    .table(self.strong()),
                Section::new("Machines that live for hours")
                    .paragraph(NEWBORN_TEXT)
                    .table(self.newborns.table()),
                Section::new("Machines beside their groups")
                    .paragraph(BESIDE_TEXT)
                    .table(self.beside.table()),
                rates,
                Section::new("How the fleets are made")
                    .paragraph(MACHINES_TEXT)
                    .paragraph(EVENTS_TEXT)
                    .paragraph(COUNTED_TEXT)
                    .paragraph(RULES_TEXT)
                    .table(self.facts()),
            ],
        }
    }

    /// A row for each size and rule.
    fn rows(&self, of: impl Fn(&Size, &Tally) -> Vec<String>) -> Vec<Vec<String>> {
        let row = |size: &Size, (rule, tally): &(PageRule, Tally)| {
            let mut row = vec![grouped(size.machines), rule.name().to_string()];
            row.extend(of(size, tally));
            row
        };
        let sizes = self.sizes.iter();
        sizes.flat_map(|size| size.tallies.iter().map(move |of| row(size, of))).collect()
    }

    fn nothing(&self) -> Table {
        let allowed = ALLOWED * self.args.pages_per_week;
        let rows = self.rows(|_, tally| {
            let held = tally.noise() <= allowed;
            let held = if held { "yes" } else { "no" };
            let levels =
                tally.levels().map_or("-".into(), |(low, high)| format!("{low} to {high}"));
            let nothing = interval(tally.for_nothing());
            vec![nothing, held.to_string(), interval(tally.pages()), levels]
        });
        Table {
            title: "Pages of a fleet in a week".into(),
            note: format!(
                "The budget is {} pages for nothing a week, whatever the size; {allowed} are \
                 allowed. In brackets: 95 % of resampled groups.",
                self.args.pages_per_week
            ),
            header: strings([
                "machines",
                "rule",
                "for nothing",
                "within the budget",
                "all pages",
                "page level",
            ]),
            rows,
            strong: Vec::new(),
        }
    }

    fn before(&self) -> Table {
        let rows = self.rows(|_, tally| {
            Before::ALL.map(|before| interval(tally.for_nothing_after(before))).to_vec()
        });
        Table {
            title: "Pages for nothing in a week, by what went before".into(),
            note: "A launch less than two weeks before; or something real on that machine that \
                   ended less than two days before, such as the step of a deploy."
                .into(),
            header: strings(["machines", "rule", "a launch", "an event", "nothing"]),
            rows,
            strong: Vec::new(),
        }
    }

    fn found(&self) -> Table {
        let strengths = [Strength::Strong, Strength::Subtle, Strength::Control];
        Table {
            title: "Faults of single machines that were told".into(),
            note:
                "In brackets: 95 % of resampled groups, in percent. Chance: the same of machines \
                   without a fault."
                    .into(),
            header: strings(["machines", "rule", "strong", "subtle", "by chance"]),
            rows: self.rows(|_, tally| strengths.map(|of| part(tally.found(of))).to_vec()),
            strong: Vec::new(),
        }
    }

    fn minutes(&self) -> Table {
        let minutes = |tally: &Tally, strength| {
            let minutes = tally.minutes(strength);
            minutes.map_or("-".into(), |(half, most)| format!("{half}, {most}"))
        };
        let strengths = [Strength::Strong, Strength::Subtle];
        Table {
            title: "Minutes until a fault was told".into(),
            note: "From the begin of the fault to the end of the datapoint that tells it, of half \
                   and of 90 % of those that were told."
                .into(),
            header: strings(["machines", "rule", "strong", "subtle"]),
            rows: self.rows(|_, tally| strengths.map(|of| minutes(tally, of)).to_vec()),
            strong: Vec::new(),
        }
    }

    fn once(&self) -> Table {
        let rows = self.rows(|_, tally| {
            let (deploys, outages) = (tally.deploys(), tally.outages());
            let told: Vec<usize> = deploys.iter().copied().filter(|pages| *pages > 0).collect();
            let strong = tally.pages_each(Strength::Strong);
            let of = |count: usize, all: usize| format!("{count} of {}", grouped(all));
            vec![
                of(told.len(), deploys.len()),
                mean(&told),
                of(told.iter().filter(|pages| **pages == 1).count(), told.len()),
                mean(outages),
                mean(&strong),
            ]
        });
        Table {
            title: "Incidents: told once?".into(),
            note: "Means over the incidents that were told; of outages, over all. An outage has \
                   machines of many groups."
                .into(),
            header: strings([
                "machines",
                "rule",
                "deploys told",
                "pages each",
                "told once",
                "pages of the outage",
                "pages of a strong fault",
            ]),
            rows,
            strong: Vec::new(),
        }
    }

    fn strong(&self) -> Table {
        let names = |strength| {
            let sizes = self.sizes.iter().flat_map(|size| &size.tallies);
            let mut names: Vec<&str> = sizes.flat_map(|(_, tally)| tally.names(strength)).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let mut rows = Vec::new();
        for (strength, sort) in [(Strength::Strong, "strong"), (Strength::Subtle, "subtle")] {
            for name in names(strength) {
                let cells = self.columns(|tally| {
                    let part = tally.found_of(name);
                    format!("{} of {}", part.found, part.of)
                });
                rows.push([vec![name.to_string(), sort.to_string()], cells].concat());
            }
        }
        let column =
            |size: &Size, rule: PageRule| format!("{}: {}", grouped(size.machines), rule.short());
        let columns = self
            .sizes
            .iter()
            .flat_map(|size| size.outermost().map(move |(rule, _)| column(size, *rule)));
        Table {
            title: "Faults that were told, by kind".into(),
            note: String::new(),
            header: strings(["fault", "sort"]).into_iter().chain(columns).collect(),
            rows,
            strong: Vec::new(),
        }
    }

    fn columns(&self, cell: impl Fn(&Tally) -> String) -> Vec<String> {
        let tallies = self.sizes.iter().flat_map(Size::outermost);
        tallies.map(|(_, tally)| cell(tally)).collect()
    }

    fn facts(&self) -> Table {
        let row = |size: &Size| {
            let tally = size.tallies.first().map(|(_, tally)| tally);
            let faults = |strength| tally.map_or(0, |tally| tally.found(strength).of);
            vec![
                grouped(size.machines),
                size.fleets.to_string(),
                size.groups.to_string(),
                tally.map_or(0, |tally| tally.deploys().len()).to_string(),
                size.fleets.to_string(),
                faults(Strength::Strong).to_string(),
                faults(Strength::Subtle).to_string(),
                faults(Strength::Control).to_string(),
            ]
        };
        Table {
            title: "What there was to tell".into(),
            note: "Of all fleets of a size together, in four weeks.".into(),
            header: strings([
                "machines",
                "fleets",
                "groups",
                "deploys",
                "outages",
                "strong faults",
                "subtle faults",
                "controls",
            ]),
            rows: self.sizes.iter().map(row).collect(),
            strong: Vec::new(),
        }
    }

    fn rates(&self) -> Vec<Table> {
        let counted = self.tails.iter().filter(|(_, tail)| tail.machines() > 0);
        counted.map(|(age, tail)| rates(*age, tail)).collect()
    }
}

impl Size {
    /// The first rule and the last one.
    fn outermost(&self) -> impl Iterator<Item = &(PageRule, Tally)> {
        let last = self.tallies.len().saturating_sub(1).max(1);
        self.tallies.iter().step_by(last)
    }
}

/// The rates of one sort of machines.
fn rates(age: Age, tail: &Tail) -> Table {
    let row = |rate: super::tails::Rate| {
        vec![
            rate.level.to_string(),
            rate.pages.to_string(),
            rate.interval.with_digits(4),
            rate.together.to_string(),
        ]
    };
    Table {
        title: format!("{}, {}", tail.name, age.name()),
        note: format!(
            "{} machines, {:.0} weeks of their series. In brackets: 95 % of resampled machines.",
            tail.machines(),
            tail.weeks()
        ),
        header: strings([
            "severity of at least",
            "pages",
            "a series and week",
            "pages, an hour together",
        ]),
        rows: tail.rates().into_iter().map(row).collect(),
        strong: Vec::new(),
    }
}

const RATES_TEXT: &str = "How often does an episode of a healthy machine reach a severity? An \
    episode counts where it begins, with the highest severity that it reaches; 1.0 is the \
    threshold. Generated machines have no group and no event. Of real CPU every episode counts, \
    because it has no labels, and of the servers' metrics those outside of labels: real anomalies \
    without a label are among them. The network was trained on the real machines; generated ones \
    it has never seen. Metrics of one server are not independent, so the last column counts those \
    of a server within an hour of each other as one.";
const BESIDE_TEXT: &str = "Where a group has at least five machines, the function compares what \
    each deviates from its usual with the median of the group. Here three of ten machines have a \
    subtle fault each in the last two weeks of five. The fleets above are followed without that \
    comparison.";

const NEWBORN_TEXT: &str = "Groups of eight machines with two weeks of history launch \
    twelve more in four days. Such a machine is judged by its group from its second \
    datapoint on, for its first three days. In one launch of three it has 40 to 100 % CPU \
    for five minutes, in one of three for ten. A fault begins ten minutes after the launch \
    or later and lasts; it counts where it changes the machine by ten times the group's \
    noise.";

const MACHINES_TEXT: &str = "Machines come in groups of 1 to 200, small ones as often as large \
    ones by order of magnitude. A group has one purpose of seven. Its machines share the load and \
    the amount of noise; each has noise of its own, bursts of its own, and jobs a few minutes \
    early or late. Two weeks of history come before the four weeks that count. One machine in ten \
    lives for 1 to 24 hours, one in ten is launched within the four weeks and stays. Each machine \
    is generated and followed by itself by the detector that the function has, and its episodes \
    are those of the function (1 of 1 datapoint).";
const EVENTS_TEXT: &str = "Two groups in three get a deploy: a step of 2 to 6 times the noise, on \
    all machines within 20 minutes, for good. One outage in the four weeks takes a third of each \
    group for 45 to 90 minutes: its machines do nearly nothing, or are at 95 to 100 %. One machine \
    in ten has a strong fault: at the limit for 2 hours, a jump of 10 to 20 times the noise for 12 \
    hours, or no work for 6 hours, where that changes it by ten times its noise or more. One in \
    ten has a subtle fault, of the kinds and sizes that detectors are compared by. One in ten is a \
    control, to which nothing happens.";
const COUNTED_TEXT: &str = "A page is about an event where it comes between its begin and two \
    hours after its end, about one of its machines; a deploy is news for a day. All other pages \
    are for nothing. Missing datapoints do not page here.";

const RULES_TEXT: &str = "Each episode a page: the rule before there were incidents. Page level, \
    no groups: the function's incidents and page level, with machines that have no group; only a \
    large part of the fleet at once is one incident. Page level and groups: the same, with each \
    machine's group. A deployment begins with the four weeks. Its first run knows the history of \
    each machine, as the function's does.";

/// With a comma for the thousands.
fn grouped(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}

fn interval(of: Option<Interval>) -> String {
    of.map_or("-".into(), |of| {
        of.with_digits(usize::from(of.high < 100.0) + usize::from(of.high < 10.0))
    })
}

fn part(part: Part) -> String {
    let interval = part.percent.map_or("-".into(), |of| format!("{:.0} to {:.0}", of.low, of.high));
    format!("{} of {} ({interval})", part.found, part.of)
}

fn mean(counts: &[usize]) -> String {
    match counts.len() {
        0 => "-".into(),
        all => format!("{:.1}", counts.iter().sum::<usize>() as f64 / all as f64),
    }
}
