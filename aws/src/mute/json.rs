//! Mutes that are written as JSON.
//!
//! ```json
//! {"mutes": [
//!   {"all": true, "from": "2026-11-22T02:00:00+01:00", "until": "2026-11-22T04:00:00+01:00",
//!    "why": "moving house"},
//!   {"tags": "role=batch,env=prod|stage", "every": "day", "between": ["02:00", "04:00"],
//!    "zone": "Europe/Berlin"},
//!   {"instances": ["i-0123456789abcdef0"], "every": ["sat", "sun"], "zone": "UTC"}
//! ]}
//! ```

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use super::days::{Days, Limits};
use super::repeat::{Lasts, Repeated, When};
use super::text::{reason, shown, warn_of_fixed_clocks, zone};
use super::{MAX_MUTES, Mute, Who};
use crate::ids::TargetId;
use crate::text::decode;

/// The first day of repeated mutes, before any time that can be asked for.
const ALWAYS: Date = Date::constant(1970, 1, 1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mutes: Vec<Entry>,
}

/// The file before its entries are parsed.
#[derive(Debug, Deserialize)]
struct Loose {
    mutes: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    instances: Option<Vec<String>>,
    tags: Option<String>,
    all: Option<bool>,
    from: Option<String>,
    until: Option<String>,
    every: Option<Value>,
    between: Option<[String; 2]>,
    zone: Option<String>,
    why: Option<String>,
}

/// The mutes of a file, or its errors, entry by entry.
pub(super) fn mutes(bytes: &[u8]) -> Result<Vec<Mute>, Vec<String>> {
    let text = decode(bytes).map_err(|error| vec![error.to_string()])?;
    let file: File = serde_json::from_str(&text).map_err(|error| located(&text, &error))?;
    if file.mutes.len() > MAX_MUTES {
        return Err(vec![format!("it has {} mutes, up to {MAX_MUTES} are read", file.mutes.len())]);
    }
    let (mut mutes, mut wrong) = (Vec::new(), Vec::new());
    let zones: Vec<String> = file.mutes.iter().filter_map(|entry| entry.zone.clone()).collect();
    for (index, entry) in file.mutes.into_iter().enumerate() {
        let name = named(index, entry.why.as_deref());
        match entry.mute() {
            Ok(mute) => mutes.push(mute),
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    warn_of_fixed_clocks(zones.iter().map(String::as_str));
    Ok(mutes)
}

/// Finds the entries with the fault that serde reports.
fn located(text: &str, error: &serde_json::Error) -> Vec<String> {
    let loose: Vec<Value> =
        serde_json::from_str(text).map_or_else(|_| Vec::new(), |loose: Loose| loose.mutes);
    let fault = |(index, entry): (usize, &Value)| {
        let error = Entry::deserialize(entry).err()?;
        Some(format!("{}: {error}", named(index, entry.get("why").and_then(Value::as_str))))
    };
    let faults: Vec<String> = loose.iter().enumerate().filter_map(fault).collect();
    if faults.is_empty() { vec![error.to_string()] } else { faults }
}

/// The name of an entry in an error.
fn named(index: usize, why: Option<&str>) -> String {
    let number = index + 1;
    why.map_or_else(|| format!("mute {number}"), |why| format!("mute {number} ({})", shown(why)))
}

impl Entry {
    fn mute(self) -> Result<Mute, String> {
        let zone = self
            .zone
            .as_deref()
            .map(|name| zone(name).map_err(|why| format!("`zone`: {why}")))
            .transpose()?;
        let from =
            self.from.as_deref().map(|from| time(from, "from", zone.as_ref())).transpose()?;
        let until =
            self.until.as_deref().map(|until| time(until, "until", zone.as_ref())).transpose()?;
        if from.zip(until).is_some_and(|(from, until)| until <= from) {
            return Err("`until` is not after `from`".into());
        }
        let when = match (&self.every, &self.between) {
            (None, None) => match (from, until) {
                (Some(from), Some(until)) => When::Once(from..until),
                _ => {
                    return Err(
                        "it says not when: give `from` and `until`, or `every` and `zone`".into()
                    );
                }
            },
            (None, Some(_)) => return Err("`between` needs `every`, such as \"day\"".into()),
            (Some(every), between) => {
                let zone =
                    zone.ok_or("`every` needs `zone`, such as \"Europe/Berlin\" or \"UTC\"")?;
                let within = from.unwrap_or(i64::MIN)..until.unwrap_or(i64::MAX);
                repeated(weekdays(every)?, between.as_ref(), zone, within)?
            }
        };
        Ok(Mute { when, why: reason(self.why.as_deref()), who: self.who()? })
    }

    fn who(self) -> Result<Who, String> {
        match (self.instances, self.tags, self.all) {
            (None, None, Some(true)) => Ok(Who::All),
            (Some(instances), None, None | Some(false)) if !instances.is_empty() => {
                let instances =
                    instances.into_iter().map(TargetId::try_from).collect::<Result<_, _>>();
                instances.map(Who::Instances).map_err(|error| format!("`instances`: {error}"))
            }
            (None, Some(tags), None | Some(false)) if !tags.trim().is_empty() => {
                tags.parse().map(Who::Tags).map_err(|error| format!("`tags`: {error}"))
            }
            _ => Err("it has to say who is muted, in one way: `instances`, `tags`, or `all`: true"
                .into()),
        }
    }
}

/// A time with its offset, or one by the clock of `zone`.
fn time(text: &str, field: &str, zone: Option<&TimeZone>) -> Result<i64, String> {
    let absolute = text.parse::<Timestamp>().ok();
    // A date alone would leave open whether its day belongs to it.
    let local = || {
        text.parse::<DateTime>().ok().filter(|_| text.contains(':'))?.to_zoned(zone?.clone()).ok()
    };
    let time = absolute.or_else(|| Some(local()?.timestamp())).map(Timestamp::as_second);
    time.ok_or_else(|| {
        format!(
            "`{field}` is {:?}: give a time such as \"2026-11-22T02:00:00+01:00\", \
             or \"2026-11-22T02:00\" and a `zone`",
            shown(text)
        )
    })
}

/// Days of the week, from Monday on; an empty set means every day.
fn weekdays(every: &Value) -> Result<BTreeSet<i8>, String> {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let days = |name: &Value| match name.as_str()? {
        "day" => Some(0..=6),
        "weekday" => Some(0..=4),
        name => NAMES.iter().position(|&known| known == name).map(|day| day as i8..=day as i8),
    };
    let names = every.as_array().map_or(std::slice::from_ref(every), Vec::as_slice);
    let found: Option<Vec<_>> = names.iter().map(days).collect();
    found
        .filter(|found| !found.is_empty())
        .map(|found| found.into_iter().flatten().collect())
        .ok_or_else(|| {
            format!(
                "`every` is {}: give \"day\", \"weekday\" or days such as [\"sat\", \"sun\"]",
                shown(&every.to_string())
            )
        })
}

fn repeated(
    weekdays: BTreeSet<i8>,
    between: Option<&[String; 2]>,
    zone: TimeZone,
    within: Range<i64>,
) -> Result<When, String> {
    let (begins, lasts) = match between {
        None => (Time::midnight(), Lasts::Clock { next_day: true, time: Time::midnight() }),
        Some([begins, ends]) => {
            let begins = clock(begins)?;
            let (ends, at_midnight) =
                if ends == "24:00" { (Time::midnight(), true) } else { (clock(ends)?, false) };
            if begins == ends && !at_midnight {
                return Err("`between` ends when it begins: leave it out for whole days".into());
            }
            (begins, Lasts::Clock { next_day: ends <= begins, time: ends })
        }
    };
    let days = Days::Daily { interval: 1, weekdays };
    let (except, except_days) = (BTreeSet::new(), BTreeSet::new());
    let repeated = Repeated {
        zone,
        first: ALWAYS,
        days,
        limits: Limits::default(),
        begins,
        lasts,
        until: None,
        within,
        except,
        except_days,
    };
    Ok(When::Repeated(Box::new(repeated)))
}

fn clock(text: &str) -> Result<Time, String> {
    text.parse().map_err(|_| {
        format!("`between` has {:?}: give two times such as [\"02:00\", \"04:00\"]", shown(text))
    })
}
