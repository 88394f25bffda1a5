//! `RRULE`: the days on which an event is repeated, and the end of the repetition.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time, Weekday};

use super::super::repeat::{Days, Repeated};
use super::super::text::shown;
use super::Moment;

/// The supported parts of a rule.
const PARTS: [&str; 7] = ["FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "WKST"];
/// Days of the week as a calendar calls them, from Monday on.
const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// The days of a rule whose first one is `first`.
pub(super) fn days(rule: &str, first: Date) -> Result<Days, String> {
    let parts = parts(rule)?;
    let part =
        |name: &str| parts.iter().find(|(part, _)| part == name).map(|(_, value)| value.as_str());
    let wrong =
        |name: &str, value: &str| format!("{name}={} of its RRULE is not understood", shown(value));
    let list = |name: &'static str| {
        part(name).map(|value| value.split(',').map(move |one| (name, one)).collect::<Vec<_>>())
    };

    let interval = part("INTERVAL").map_or(Ok(1), |value| match value.parse() {
        Ok(interval @ 1..=1000) => Ok(interval),
        _ => Err(wrong("INTERVAL", value)),
    })?;
    let weekdays: BTreeSet<(i8, i8)> = list("BYDAY")
        .unwrap_or_default()
        .into_iter()
        .map(|(name, one)| weekday(one).ok_or_else(|| wrong(name, one)))
        .collect::<Result<_, _>>()?;
    let plain = || match weekdays.iter().find(|(_, place)| *place != 0) {
        Some(_) => {
            Err("its RRULE has a BYDAY with a number, which only FREQ=MONTHLY may have".to_owned())
        }
        None => Ok(weekdays.iter().map(|&(weekday, _)| weekday).collect::<BTreeSet<i8>>()),
    };
    let of_month = list("BYMONTHDAY").unwrap_or_default();
    let freq = part("FREQ").unwrap_or_default();
    if freq != "MONTHLY" && !of_month.is_empty() {
        return Err("its RRULE has BYMONTHDAY, which only FREQ=MONTHLY may have".into());
    }
    match freq {
        "DAILY" => Ok(Days::Daily { interval, weekdays: plain()? }),
        "WEEKLY" => {
            let starts = part("WKST").map_or(Ok(Weekday::Monday), |value| {
                let weekday = WEEKDAYS.iter().position(|&name| name == value);
                let weekday =
                    weekday.and_then(|day| Weekday::from_monday_zero_offset(day as i8).ok());
                weekday.ok_or_else(|| wrong("WKST", value))
            })?;
            let mut weekdays = plain()?;
            if weekdays.is_empty() {
                weekdays.insert(first.weekday().to_monday_zero_offset());
            }
            Ok(Days::Weekly { interval, weekdays, starts })
        }
        "MONTHLY" => {
            let day = |(name, one): (&str, &str)| match one.parse::<i8>() {
                Ok(day @ (1..=31 | -31..=-1)) => Ok(day),
                _ => Err(wrong(name, one)),
            };
            let mut days: BTreeSet<i8> = of_month.into_iter().map(day).collect::<Result<_, _>>()?;
            if days.is_empty() && weekdays.is_empty() {
                days.insert(first.day());
            }
            Ok(Days::Monthly { interval, days, weekdays })
        }
        freq => Err(format!(
            "its RRULE has FREQ={:?}: DAILY, WEEKLY and MONTHLY are understood",
            shown(freq)
        )),
    }
}

/// The same repetitions with the end that the rule gives them.
pub(super) fn until(rule: &str, mut repeated: Repeated) -> Result<Repeated, String> {
    let parts = parts(rule)?;
    let part =
        |name: &str| parts.iter().find(|(part, _)| part == name).map(|(_, value)| value.as_str());
    repeated.until = match (part("COUNT"), part("UNTIL")) {
        (None, None) => None,
        (Some(_), Some(_)) => return Err("its RRULE has both COUNT and UNTIL".into()),
        (Some(count), None) => {
            let last = count.parse().ok().and_then(|count| repeated.last_of(count));
            Some(last.ok_or_else(|| {
                format!(
                    "COUNT={} of its RRULE is no number that it comes to within 20 years",
                    shown(count)
                )
            })?)
        }
        (None, Some(until)) => {
            let moment = Moment::parse(until, Some(&repeated.zone));
            let moment = match moment.map_err(|why| format!("UNTIL of its RRULE {why}"))? {
                // The whole day.
                Moment::Day(day, zone) => {
                    Moment::Time(day.to_datetime(Time::constant(23, 59, 59, 0)), zone)
                }
                time @ Moment::Time(..) => time,
            };
            Some(moment.zoned()?.timestamp().as_second())
        }
    };
    Ok(repeated)
}

/// The parts of a rule, in capitals.
fn parts(rule: &str) -> Result<Vec<(String, String)>, String> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for part in rule.split(';').filter(|part| !part.trim().is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = name.trim().to_uppercase();
        if !PARTS.contains(&name.as_str()) {
            return Err(format!(
                "its RRULE has {}, which is not understood; it may have {}",
                shown(part),
                PARTS.join(", ")
            ));
        }
        if parts.iter().any(|(known, _)| *known == name) {
            return Err(format!("its RRULE has {name} twice"));
        }
        parts.push((name, value.trim().to_uppercase()));
    }
    Ok(parts)
}

/// A day of the week and its place in the month, such as `-1SU`; 0 without one.
fn weekday(text: &str) -> Option<(i8, i8)> {
    let (place, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let weekday = WEEKDAYS.iter().position(|&known| known == name)? as i8;
    match place {
        "" => Some((weekday, 0)),
        place => place
            .parse()
            .ok()
            .filter(|place| matches!(place, 1..=5 | -5..=-1))
            .map(|place| (weekday, place)),
    }
}
