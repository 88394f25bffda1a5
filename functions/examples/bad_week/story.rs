//! What goes wrong in the week, and when; and what must stay silent.

use anyhow::{Context, Result, ensure};

use crate::fleet::{GROUPS, Machine, local};

const HOUR: i64 = 3600;

/// What a trouble does to the CPU of its machines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Effect {
    Times(f64),
    /// Percentage points.
    Plus(f64),
    /// As many percentage points at its end, in a straight line.
    GrowsBy(f64),
    /// Percent.
    HangsAt(f64),
    /// Percent, with noise.
    IdlesAt(f64),
    IsSilent,
}

/// Something that goes wrong.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Troubles of the same number are one story, told in one row of the table.
    pub(crate) number: usize,
    pub(crate) whose: String,
    pub(crate) what: &'static str,
    /// Positions of its machines in the fleet.
    pub(crate) machines: Vec<usize>,
    /// From its begin to before its end, in seconds since 1970.
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) effect: Effect,
}

/// The number of the trouble whose page is labelled, and of its return.
pub(crate) const LABELLED: [usize; 2] = [3, 5];
/// When a person says that it is not an anomaly.
pub(crate) const LABEL: &str = "2026-03-28T21:02";
/// The number of the newborn that hangs.
pub(crate) const NEWBORN: usize = 9;

/// Days on which nothing goes wrong, from midnight to midnight.
pub(crate) const SILENT: [(&str, [&str; 2]); 3] = [
    ("Sunday 29 March: clocks go from 2:00 to 3:00", ["2026-03-29T00:00", "2026-03-30T00:00"]),
    ("Friday 3 April: Good Friday", ["2026-04-03T00:00", "2026-04-04T00:00"]),
    ("Saturday 4 April: a weekend after it", ["2026-04-04T00:00", "2026-04-05T00:00"]),
];

/// The machines of the first group that auto scaling launches, and when they end. The last one is
/// the newborn that hangs.
pub(crate) fn launches() -> Result<Vec<(i64, i64)>> {
    let mut launches = Vec::new();
    for (day, ends) in
        [("03-27", "17:30"), ("03-30", "18:10"), ("04-01", "16:50"), ("04-02", "17:40")]
    {
        let end = local(&format!("2026-{day}T{ends}"))?;
        for begin in ["08:55", "10:20", "12:35"] {
            launches.push((local(&format!("2026-{day}T{begin}"))?, end));
        }
    }
    launches.push((local("2026-04-02T11:05")?, local("2026-04-02T15:30")?));
    Ok(launches)
}

/// Everything that goes wrong, in order.
pub(crate) fn troubles(machines: &[Machine]) -> Result<Vec<Trouble>> {
    let mut troubles = Vec::new();
    let mut add = |number: usize, what: &'static str, whose: &str, times: [&str; 2], effect| {
        let group = GROUPS.iter().position(|group| group.name == whose);
        let is_one = |(place, machine): &(usize, &Machine)| match (group, whose) {
            (Some(group), _) => machine.group == group && machine.lives.1 == i64::MAX,
            (None, "a zone") => in_the_zone(machines, *place),
            (None, name) => machine.name == name,
        };
        let places = machines.iter().enumerate().filter(is_one).map(|(place, _)| place);
        let places: Vec<usize> = places.collect();
        ensure!(!places.is_empty(), "there is no machine {whose}");
        let whose = match places.len() {
            1 => whose.to_string(),
            many => format!("{whose}, {many} machines"),
        };
        let [from, until] = times.map(local);
        let (from, until) = (from?, until?);
        troubles.push(Trouble { number, whose, what, machines: places, from, until, effect });
        Ok(())
    };
    let day = |day: &str, time: &str| format!("2026-{day}T{time}");
    add(
        1,
        "a deploy that costs 35 % more CPU, and stays",
        "api",
        ["2026-03-27T10:40", "2026-04-05T00:00"],
        Effect::Times(1.35),
    )?;
    add(
        2,
        "hangs at 99 %, restarted",
        "web-17",
        ["2026-03-28T15:20", "2026-03-28T18:00"],
        Effect::HangsAt(99.0),
    )?;
    let rebuild = "an index is rebuilt, 40 points for 50 minutes; labelled \"not an anomaly\" at \
                   21:02";
    add(
        LABELLED[0],
        rebuild,
        "search-2",
        ["2026-03-28T20:00", "2026-03-28T20:50"],
        Effect::Plus(40.0),
    )?;
    add(
        4,
        "takes 6 points more than its peers for a day",
        "checkout-9",
        ["2026-03-30T08:00", "2026-03-31T08:00"],
        Effect::Plus(6.0),
    )?;
    add(
        LABELLED[1],
        "the same again, two days after the label",
        "search-2",
        ["2026-03-30T20:00", "2026-03-30T20:50"],
        Effect::Plus(40.0),
    )?;
    add(
        6,
        "a zone is out for 40 minutes",
        "a zone",
        ["2026-03-31T14:10", "2026-03-31T14:50"],
        Effect::IdlesAt(0.6),
    )?;
    add(
        7,
        "a leak, 30 points in two days, and a restart",
        "cache-5",
        ["2026-03-31T20:00", "2026-04-02T20:00"],
        Effect::GrowsBy(30.0),
    )?;
    for begin in ["09:15", "11:40", "14:05", "17:20", "21:30"] {
        let from = day("04-01", begin);
        let until = day("04-01", &format!("{}:{:02}", &begin[..2], after(begin)?));
        add(8, "crashes five times in a day", "queue-5", [&from, &until], Effect::IdlesAt(0.9))?;
    }
    let newborn = machines.iter().rfind(|machine| machine.lives.1 != i64::MAX);
    let newborn = newborn.context("no machine was launched")?.name.clone();
    add(
        NEWBORN,
        "launched at 11:05, hangs at 13:05",
        &newborn,
        ["2026-04-02T13:05", "2026-04-02T15:30"],
        Effect::HangsAt(99.5),
    )?;
    add(10, "stops reporting", "db-3", ["2026-04-02T16:35", "2026-04-05T00:00"], Effect::IsSilent)?;
    Ok(troubles)
}

/// The minute a quarter of an hour after a time such as 09:15, in the same hour.
fn after(time: &str) -> Result<u32> {
    Ok(time[3..].parse::<u32>()? + 15)
}

/// Whether a machine is in the zone that fails: a third of each group.
fn in_the_zone(machines: &[Machine], place: usize) -> bool {
    let machine = &machines[place];
    let first = machines.iter().position(|other| other.group == machine.group);
    machine.lives.1 == i64::MAX && first.is_some_and(|first| (place - first).is_multiple_of(3))
}

impl Trouble {
    /// Whether an anomaly of that machine that was seen at `seen` (the begin of a datapoint) comes
    /// of this trouble: while it lasts, for a day at most, or in the three hours after it.
    pub(crate) fn explains(&self, machine: usize, seen: i64) -> bool {
        let until = self.until.min(self.from + 24 * HOUR);
        let until = if matches!(self.effect, Effect::GrowsBy(_)) { self.until } else { until };
        self.machines.contains(&machine) && (self.from..until + 3 * HOUR).contains(&seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Week;

    #[test]
    fn the_story_is_told_in_order_and_each_trouble_has_its_machines() {
        let week = Week::new(&launches().unwrap(), troubles).unwrap();
        let troubles = &week.troubles;
        assert!(troubles.is_sorted_by_key(|trouble| trouble.number));
        assert!(troubles.iter().all(|trouble| trouble.from < trouble.until));
        let of = |number: usize| -> Vec<&Trouble> {
            troubles.iter().filter(|trouble| trouble.number == number).collect()
        };
        assert_eq!((of(1)[0].machines.len(), of(8).len()), (30, 5));
        assert!((60..=70).contains(&of(6)[0].machines.len()));
        assert_eq!(of(NEWBORN)[0].whose, "web-53");
        assert_eq!(of(LABELLED[0])[0].machines, of(LABELLED[1])[0].machines);
        let silent = SILENT.map(|(_, times)| times.map(|time| local(time).unwrap()));
        for trouble in troubles {
            assert!(silent.iter().all(|[from, until]| !(*from..*until).contains(&trouble.from)));
        }
    }
}
