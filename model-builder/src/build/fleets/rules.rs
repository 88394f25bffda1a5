//! The rules by which episodes become pages. Incidents and page level are those of the function.

use std::collections::BTreeMap;

use deepguard::Detector;
use deepguard::baseline::OWN_DAYS;
use deepguard::budget::Budget;
use deepguard::episode::{Change, Episode};
use deepguard::incident::{Incidents, Note, Past, Surroundings};
use deepguard::series::{DAY_SECONDS, PERIOD};

use super::course::Told;
use super::events::{Page, time};
use super::newborns::Launched;
use super::plan::{FROM, Plan, UNTIL};
use crate::build::workload::DAY;

/// How long the usual errors of a machine are being learnt, in seconds: see `Track::is_young`. Its
/// first day has no scores.
const YOUNG: i64 = 11 * DAY_SECONDS;

/// A fleet, as the rules see it.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    pub(super) plan: &'a Plan,
    /// The episodes of each machine.
    pub(super) told: &'a [Vec<Told>],
    /// The machines that their groups judge at first.
    pub(super) launched: &'a [Launched],
    pub(super) detector: &'a Detector,
    /// Pages for nothing that its people accept, in a week.
    pub(super) budget: f64,
}

/// A way from episodes to pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageRule {
    /// Each episode is a page.
    EachEpisode,
    /// A page from the page level on. Only a large part of the fleet is one incident.
    Level,
    /// A page from the page level on, and an incident of a group is one page.
    Groups,
}

/// What happens to a machine at one time.
#[derive(Debug, Clone, Copy)]
enum Step {
    Changed(Change),
    /// Its open episode has this severity now.
    Rose(f64),
}

/// The pages of a fleet, and how its page level went.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Decided {
    /// By time.
    pub(super) pages: Vec<Page>,
    /// The page level of each day that counts.
    pub(super) levels: Vec<f64>,
}

impl PageRule {
    /// All rules, the one to recommend last.
    pub(super) const ALL: [Self; 3] = [Self::EachEpisode, Self::Level, Self::Groups];

    /// A name, in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EachEpisode => "each episode a page",
            Self::Level => "page level, no groups",
            Self::Groups => "page level and groups",
        }
    }

    /// A name for the head of a narrow column.
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::EachEpisode => "each",
            Self::Level => "level",
            Self::Groups => "groups",
        }
    }

    /// The pages of a fleet.
    pub(super) fn decide(self, fleet: &Fleet<'_>) -> Decided {
        match self {
            Self::EachEpisode => fleet.each_episode(),
            Self::Level => fleet.incidents(&[], |_| None),
            Self::Groups => fleet.incidents(fleet.launched, |machine| {
                let members = &fleet.plan.group_of(machine).members;
                let name = fleet.plan.machines[machine].group.to_string();
                Some((name, members.len()))
            }),
        }
    }
}

impl Fleet<'_> {
    fn each_episode(&self) -> Decided {
        let told = self.told.iter().enumerate();
        let page =
            |machine: usize, told: &Told| Page { time: told.began(), machines: vec![machine] };
        let mut pages: Vec<Page> = told
            .flat_map(|(machine, told)| told.iter().map(move |told| page(machine, told)))
            .collect();
        pages.sort_by_key(|page| page.time);
        Decided { pages, levels: Vec::new() }
    }

    /// The pages of a deployment that begins with the weeks that count. It knows the history of
    /// each machine.
    fn incidents(
        &self,
        launched: &[Launched],
        group: impl Fn(usize) -> Option<(String, usize)>,
    ) -> Decided {
        let steps = self.steps(launched);
        let own_from: BTreeMap<usize, i64> =
            launched.iter().map(|launched| (launched.machine, launched.own_from)).collect();
        let budget = Budget {
            per_week: Some(self.budget),
            pages: &self.detector.artifact().card().pages,
            threshold: self.detector.threshold(),
        };
        let mut incidents: Incidents<usize> = Incidents::default();
        let of = |machine: &usize| group(*machine);
        incidents.learn(&self.past(), time(FROM), self.alive(time(FROM)), &of, &budget);
        let mut open: Vec<Option<Episode>> = vec![None; self.told.len()];
        let mut decided = Decided::default();
        for day in (FROM..UNTIL).step_by((DAY_SECONDS / PERIOD) as usize) {
            let begins = time(day);
            incidents.begin_day(begins, self.alive(begins), &budget);
            decided.levels.push(incidents.level().value());
            for (&at, steps) in steps.range(begins - PERIOD..begins + DAY_SECONDS - PERIOD) {
                let mut changes = Vec::new();
                for &(machine, step) in steps {
                    open[machine] = match step {
                        Step::Rose(severity) => open[machine].map(|mut episode| {
                            episode.peak = severity;
                            episode
                        }),
                        Step::Changed(Change::Began(episode, _)) => Some(episode),
                        Step::Changed(Change::Ended(..)) => None,
                    };
                    if let Step::Changed(change) = step {
                        changes.push((machine, change));
                    }
                }
                let around = Surroundings {
                    now: at + PERIOD,
                    machines: self.alive(at),
                    group: &of,
                    open: &|machine: &usize| open[*machine],
                    young: &|machine: &usize| {
                        let by_group = own_from.get(machine).is_some_and(|from| at < *from);
                        !by_group && self.is_young(*machine, at)
                    },
                };
                let (notes, risen) = incidents.update(&changes, &around);
                let began = notes
                    .iter()
                    .zip(&changes)
                    .filter(|(note, (_, change))| note.page && matches!(change, Change::Began(..)));
                let began = began.map(|(note, (machine, _))| page(at, *machine, note));
                decided.pages.extend(began);
                decided.pages.extend(risen.iter().map(|(machine, note)| page(at, *machine, note)));
            }
        }
        decided
    }

    /// What the history of the machines says of them.
    fn past(&self) -> Past<usize> {
        let mut past = Past::default();
        for (machine, told) in self.told.iter().enumerate() {
            let life = &self.plan.machines[machine].life;
            let own = life.start + OWN_DAYS * DAY;
            (own / DAY..FROM / DAY)
                .for_each(|day| past.count_machine(time(day * DAY) / DAY_SECONDS));
            past.young_until(&machine, time(life.start) + YOUNG);
            for told in told.iter().filter(|told| told.began() >= time(own)) {
                if let Some(over) = told.over.filter(|over| over.seen < time(FROM)) {
                    let change = Change::Ended(over.episode, over.why, over.at);
                    past.change(&machine, over.seen, change);
                }
            }
        }
        past
    }

    /// What happens to the machines from the begin of the weeks on, by time (start of a datapoint,
    /// in seconds since 1970).
    fn steps(&self, launched: &[Launched]) -> BTreeMap<i64, Vec<(usize, Step)>> {
        let mut steps: BTreeMap<i64, Vec<(usize, Step)>> = BTreeMap::new();
        let by_group: BTreeMap<usize, &Vec<Told>> =
            launched.iter().map(|launched| (launched.machine, &launched.told)).collect();
        for (machine, told) in self.told.iter().enumerate() {
            let told = by_group.get(&machine).copied().unwrap_or(told);
            for told in told.iter().filter(|told| told.began() >= time(FROM)) {
                let mut add = |at: i64, step| steps.entry(at).or_default().push((machine, step));
                add(told.began(), Step::Changed(Change::Began(told.episode, None)));
                told.rises[1..].iter().for_each(|&(at, severity)| add(at, Step::Rose(severity)));
                if let Some(over) = told.over {
                    add(over.seen, Step::Changed(Change::Ended(over.episode, over.why, over.at)));
                }
            }
        }
        steps
    }

    /// Whether the usual errors of a machine are still being learnt.
    fn is_young(&self, machine: usize, at: i64) -> bool {
        at - time(self.plan.machines[machine].life.start) < YOUNG
    }

    /// Machines that have datapoints at `at` (seconds since 1970).
    fn alive(&self, at: i64) -> usize {
        let lives = self.plan.machines.iter().map(|machine| &machine.life);
        lives.filter(|life| (time(life.start)..time(life.end)).contains(&at)).count()
    }
}

fn page(at: i64, machine: usize, note: &Note<usize>) -> Page {
    let mut machines = vec![machine];
    machines.extend(note.members.iter().copied().filter(|member| *member != machine));
    Page { time: at, machines }
}

#[cfg(test)]
mod tests {
    use deepguard::episode::{Episodes, MOfN};
    use deepguard::model::device;
    use deepguard::{Scored, Watch};

    use super::*;
    use crate::build::fleets::course::follow;
    use crate::build::workload::machine::{Kind, machine};
    use crate::build::workload::{DAY, HOUR, series};
    use crate::testing::artifact;

    const ONSET: usize = FROM + DAY + 10 * HOUR;

    /// The episodes of a machine that is at 99 % for an hour from the onset on.
    fn stuck(detector: &Detector) -> Vec<Told> {
        let mut values = machine(Kind::Web, 3, 17);
        values[ONSET..ONSET + HOUR].fill(99.0);
        let series = series(&values).unwrap();
        let mut told = follow(detector, &series, series.end());
        told.retain(|told| told.began() >= time(ONSET) && told.began() < time(ONSET + HOUR));
        told
    }

    /// A fleet with one group that has these members.
    fn plan(count: usize) -> Plan {
        let mut plan = Plan::new(count, 1);
        let mut group = plan.groups.remove(0);
        group.members = 0..count;
        plan.groups = vec![group];
        for machine in &mut plan.machines {
            (machine.group, machine.life) = (0, 0..UNTIL);
        }
        plan
    }

    #[test]
    fn a_group_that_breaks_together_pages_once() {
        let detector = Detector::new(artifact(), &device());
        let one = stuck(&detector);
        assert!(!one.is_empty());
        let plan = plan(40);
        // Too few for an incident of the fleet, which five pages at once are.
        let mut told = vec![Vec::new(); 40];
        told[3..7].fill(one.clone());
        let fleet =
            Fleet { plan: &plan, told: &told, launched: &[], detector: &detector, budget: 2.0 };
        let each = PageRule::EachEpisode.decide(&fleet).pages;
        assert_eq!(each.len(), 4 * one.len());
        let level = PageRule::Level.decide(&fleet);
        assert!(level.pages.len() >= 4, "{:?}", level.pages);
        let groups = PageRule::Groups.decide(&fleet);
        assert_eq!(groups.pages.len(), 1, "{:?}", groups.pages);
        assert_eq!(groups.pages[0].machines.len(), 4);
        assert_eq!(groups.levels.len(), (UNTIL - FROM) / DAY);
    }

    #[test]
    fn a_smaller_budget_has_a_higher_level_and_no_more_pages() {
        let detector = Detector::new(artifact(), &device());
        let plan = plan(200);
        let told = vec![Vec::new(); 200];
        let decide = |budget: f64| {
            let fleet =
                Fleet { plan: &plan, told: &told, launched: &[], detector: &detector, budget };
            PageRule::Groups.decide(&fleet)
        };
        let (strict, loose) = (decide(0.5), decide(20.0));
        assert!(strict.levels[0] > loose.levels[0] && loose.levels[0] >= 1.0);
        assert_eq!((strict.pages, loose.pages), (vec![], vec![]));
    }

    #[test]
    fn incidents_see_what_the_episodes_of_the_function_are() {
        let detector = Detector::new(artifact(), &device());
        let mut values = machine(Kind::HeavyTailed, 5, 30);
        values[ONSET..ONSET + HOUR].fill(99.0);
        let series = series(&values).unwrap();
        let scored: Vec<Scored> = detector.follow(&series, &mut Watch::default(), series.end());
        let mut episodes = Episodes::default();
        let mut expected = Vec::new();
        for scored in &scored {
            for change in episodes.update(scored, MOfN::default()) {
                expected.push((scored.time, change.episode().told, change.episode().peak));
            }
        }
        expected.retain(|(_, told, _)| *told >= time(FROM));
        let told = [follow(&detector, &series, series.end())];
        let plan = plan(1);
        let fleet =
            Fleet { plan: &plan, told: &told, launched: &[], detector: &detector, budget: 2.0 };
        let steps = fleet.steps(&[]);
        let seen: Vec<_> = steps
            .iter()
            .flat_map(|(at, steps)| steps.iter().map(move |(_, step)| (*at, *step)))
            .filter_map(|(at, step)| match step {
                Step::Changed(change) => Some((at, change.episode().told, change.episode().peak)),
                Step::Rose(_) => None,
            })
            .collect();
        assert!(seen.len() > 2);
        assert_eq!(seen, expected);
    }
}
