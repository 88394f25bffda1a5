//! `RRULE`: the days on which an event is repeated, and the end of the repetition.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time, Weekday};

use super::super::days::{Days, Limits};
use super::super::repeat::Repeated;
use super::super::text::shown;
use super::Moment;

/// The supported parts of a rule.
const PARTS: [&str; 9] =
    ["FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST"];
/// The most places that a day of the week has in a month, and in a year.
const PLACES: [i8; 2] = [5, 53];
/// Days of the week as a calendar calls them, from Monday on.
const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// The days of a rule whose first one is `first`.
pub(super) fn days(rule: &str, first: Date) -> Result<(Days, Limits), String> {
    let parts = parts(rule)?;
    let part =
        |name: &str| parts.iter().find(|(part, _)| part == name).map(|(_, value)| value.as_str());
    let wrong =
        |name: &str, value: &str| format!("{name}={} of its RRULE is not understood", shown(value));
    let list = |name: &str| part(name).map_or_else(Vec::new, |value| value.split(',').collect());
    let numbers = |name: &str, most: i16| {
        let number = |text: &str| {
            let number = text.parse().ok();
            number
                .filter(|number: &i16| *number != 0 && number.unsigned_abs() <= most.unsigned_abs())
                .ok_or_else(|| wrong(name, text))
        };
        list(name).into_iter().map(number).collect::<Result<BTreeSet<i16>, String>>()
    };
    let small = |numbers: BTreeSet<i16>| numbers.into_iter().map(|number| number as i8).collect();

    let interval = part("INTERVAL").map_or(Ok(1), |value| match value.parse() {
        Ok(interval @ 1..=1000) => Ok(interval),
        _ => Err(wrong("INTERVAL", value)),
    })?;
    let freq = part("FREQ").unwrap_or_default();
    let mut limits =
        Limits { months: small(numbers("BYMONTH", 12)?), places: numbers("BYSETPOS", 366)? };
    if limits.months.first().is_some_and(|month| *month < 0) {
        return Err(wrong("BYMONTH", part("BYMONTH").unwrap_or_default()));
    }
    let mut days: BTreeSet<i8> = small(numbers("BYMONTHDAY", 31)?);
    let most = PLACES[usize::from(freq == "YEARLY" && limits.months.is_empty())];
    let weekdays: BTreeSet<(i8, i8)> = list("BYDAY")
        .into_iter()
        .map(|one| weekday(one, most).ok_or_else(|| wrong("BYDAY", one)))
        .collect::<Result<_, _>>()?;
    let (any_day, any_month) = (days.is_empty() && weekdays.is_empty(), limits.months.is_empty());
    if !limits.places.is_empty() && any_day && any_month {
        return Err("its RRULE has BYSETPOS, which needs BYDAY, BYMONTHDAY or BYMONTH".into());
    }
    if !["MONTHLY", "YEARLY"].contains(&freq) {
        let only = "which only FREQ=MONTHLY and FREQ=YEARLY may have";
        if !days.is_empty() {
            return Err(format!("its RRULE has BYMONTHDAY, {only}"));
        }
        if weekdays.iter().any(|(_, place)| *place != 0) {
            return Err(format!("its RRULE has a BYDAY with a number, {only}"));
        }
    }
    let plain = || weekdays.iter().map(|&(weekday, _)| weekday).collect::<BTreeSet<i8>>();
    let of_rule = match freq {
        "DAILY" => Days::Daily { interval, weekdays: plain() },
        "WEEKLY" => {
            let starts = part("WKST").map_or(Ok(Weekday::Monday), |value| {
                let weekday = WEEKDAYS.iter().position(|&name| name == value);
                let weekday =
                    weekday.and_then(|day| Weekday::from_monday_zero_offset(day as i8).ok());
                weekday.ok_or_else(|| wrong("WKST", value))
            })?;
            let mut weekdays = plain();
            if weekdays.is_empty() {
                weekdays.insert(first.weekday().to_monday_zero_offset());
            }
            Days::Weekly { interval, weekdays, starts }
        }
        "MONTHLY" => {
            if any_day {
                days.insert(first.day());
            }
            Days::Monthly { interval, days, weekdays }
        }
        "YEARLY" => {
            if any_day {
                days.insert(first.day());
                if any_month {
                    limits.months.insert(first.month());
                }
            }
            Days::Yearly { interval, days, weekdays, of_month: !any_month }
        }
        freq => {
            return Err(format!(
                "its RRULE has FREQ={:?}: DAILY, WEEKLY, MONTHLY and YEARLY are understood",
                shown(freq)
            ));
        }
    };
    Ok((of_rule, limits))
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

/// A day of the week and its place in the month or the year, such as `-1SU`; 0 without one. There
/// are `most` places.
fn weekday(text: &str, most: i8) -> Option<(i8, i8)> {
    let (place, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let weekday = WEEKDAYS.iter().position(|&known| known == name)? as i8;
    match place {
        "" => Some((weekday, 0)),
        place => place
            .parse()
            .ok()
            .filter(|place: &i8| *place != 0 && place.unsigned_abs() <= most.unsigned_abs())
            .map(|place| (weekday, place)),
    }
}
