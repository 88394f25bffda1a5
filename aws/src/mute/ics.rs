//! Mutes and whole days from a calendar (RFC 5545): its events are windows.
//!
//! The words of a mute (`SUMMARY`, `DESCRIPTION`, `LOCATION`, `CATEGORIES`) say which instances
//! it mutes. They are instances, `key=value` tags that all have to match, or `all` alone or as `all
//! instances`. Anything else is an error that names the event.

mod rule;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use icalendar::parser::{Component, Property, read_calendar, unfold};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan, Zoned};

pub(crate) use self::whole::WholeDays;
use super::repeat::{LONGEST, Lasts, Repeated, When};
use super::text::{reason, shown, warn_of_fixed_clocks, zone};
use super::{MAX_MUTES, Mute, Who};
use crate::ids::TargetId;
use crate::tags::TagRule;
use crate::text::decode;

/// The maximum depth of nested components: calendar, event, alarm, and one to spare. The parser
/// recurses into each.
const MAX_DEPTH: usize = 4;
/// The properties that say which instances an event mutes.
const TEXTS: [&str; 4] = ["SUMMARY", "DESCRIPTION", "LOCATION", "CATEGORIES"];
/// Properties that add repetitions to an event or remove some, and are not supported.
const FOREIGN: [&str; 2] = ["RDATE", "EXRULE"];

/// The mutes of a calendar, or its errors, event by event.
pub(super) fn mutes(bytes: &[u8]) -> Result<Vec<Mute>, Vec<String>> {
    events(bytes, MAX_MUTES, |event, moved, its_zone| mute(event, moved, its_zone).map(Some))
}

/// The whole days of a calendar, or its errors, event by event. Events with times are left out.
pub(crate) fn whole_days(bytes: &[u8], most: usize) -> Result<Vec<WholeDays>, Vec<String>> {
    events(bytes, most, |event, moved, its_zone| {
        let begins = find(&event.properties, "DTSTART").ok_or("it has no DTSTART")?;
        match Moment::of(begins, its_zone) {
            Ok(Moment::Day(_, zone)) => {
                Ok(Some(WholeDays { when: when(event, moved, its_zone)?, zone }))
            }
            Ok(Moment::Time(..)) => Ok(None),
            Err(_) if begins.val.as_str().contains(['T', 't']) => Ok(None),
            Err(why) => Err(why),
        }
    })
}

/// What `read` makes of the events of a calendar, up to `most` of them, or its errors, event by
/// event. It gets an event, the repetitions of it that have an event of their own, and the
/// calendar's zone.
fn events<T>(
    bytes: &[u8],
    most: usize,
    read: impl Fn(&Component<'_>, &[Moment], Option<&TimeZone>) -> Result<Option<T>, String>,
) -> Result<Vec<T>, Vec<String>> {
    let whole = decode(bytes).map_err(|error| vec![error.to_string()])?;
    let text = lines(&whole)?;
    let calendar = read_calendar(&text)
        .map_err(|error| vec![format!("it is no calendar: {}", shown(&error))])?;
    let events: Vec<&Component<'_>> = calendar
        .components
        .iter()
        .filter(|part| part.name.as_str().eq_ignore_ascii_case("VEVENT"))
        .collect();
    if events.len() > most {
        return Err(vec![format!("it has {} events, up to {most} are read", events.len())]);
    }
    let its_zone = value(&calendar.properties, "X-WR-TIMEZONE")
        .map(zone)
        .transpose()
        .map_err(|why| vec![why])?;
    let mut wrong = Vec::new();
    let mut told = |index: usize, event: &Component<'_>, why: String| {
        let name = value(&event.properties, "SUMMARY")
            .or_else(|| value(&event.properties, "UID"))
            .unwrap_or_default();
        let mut lines = whole.lines().zip(1..);
        let begins = |line: &&str| line.trim().eq_ignore_ascii_case("BEGIN:VEVENT");
        let line = lines.by_ref().filter(|(line, _)| begins(line)).nth(index);
        let line = line.map_or(0, |(_, line)| line);
        wrong.push(format!("event {} ({}): {why} (line {line})", index + 1, shown(name)));
    };
    // Repetitions that have an event of their own, by the event that they belong to.
    let mut moved: BTreeMap<&str, Vec<Moment>> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        let Some(property) = find(&event.properties, "RECURRENCE-ID") else { continue };
        let moment = match parameter(property, "RANGE") {
            Some(range) => Err(format!(
                "RECURRENCE-ID with RANGE={} is not understood: end the event and make another",
                shown(range)
            )),
            None => Moment::of(property, its_zone.as_ref()),
        };
        match moment {
            Ok(moment) => moved
                .entry(value(&event.properties, "UID").unwrap_or_default())
                .or_default()
                .push(moment),
            Err(why) => told(index, event, why),
        }
    }
    let mut found = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if value(&event.properties, "STATUS")
            .is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED"))
        {
            continue;
        }
        let moved = moved
            .get(value(&event.properties, "UID").unwrap_or_default())
            .map_or(&[][..], Vec::as_slice);
        match read(event, moved, its_zone.as_ref()) {
            Ok(one) => found.extend(one),
            Err(why) => told(index, event, why),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let zones = events.iter().flat_map(|event| &event.properties);
    let zones = zones.filter_map(|property| parameter(property, "TZID"));
    warn_of_fixed_clocks(zones.chain(value(&calendar.properties, "X-WR-TIMEZONE")));
    Ok(found)
}

/// The text with its folded lines joined, all with the same line ending and without empty lines.
/// Fails where a component is nested too deep.
fn lines(text: &str) -> Result<String, Vec<String>> {
    let unfolded = unfold(text);
    let lines: Vec<&str> =
        unfolded.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let begins = |line: &str, with: &str| {
        line.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let mut depth = 0usize;
    for line in &lines {
        if begins(line, "BEGIN:") {
            depth += 1;
        } else if begins(line, "END:") {
            depth = depth.saturating_sub(1);
        }
        if depth > MAX_DEPTH {
            return Err(vec![format!(
                "its components lie more than {MAX_DEPTH} deep in each other"
            )]);
        }
    }
    // In a text with other line endings, the parser would search for this one to the end of the
    // text.
    Ok(lines.join("\r\n") + "\r\n")
}

fn mute(
    event: &Component<'_>,
    moved: &[Moment],
    its_zone: Option<&TimeZone>,
) -> Result<Mute, String> {
    let when = when(event, moved, its_zone)?;
    let properties = &event.properties;
    Ok(Mute { who: who(properties)?, when, why: reason(value(properties, "SUMMARY")) })
}

/// When an event holds.
fn when(
    event: &Component<'_>,
    moved: &[Moment],
    its_zone: Option<&TimeZone>,
) -> Result<When, String> {
    let properties = &event.properties;
    if let Some(name) = FOREIGN.into_iter().find(|name| find(properties, name).is_some()) {
        return Err(format!("{name} is not understood: make an event of its own of it"));
    }
    let begins = find(properties, "DTSTART").ok_or("it has no DTSTART")?;
    let begins = Moment::of(begins, its_zone)?;
    let start = begins.zoned()?;
    let lasts = lasts(properties, &begins, &start, its_zone)?;
    let end = match &lasts {
        Lasts::Nominal(span) => {
            start.checked_add(span.0).ok().map(|end| end.timestamp().as_second())
        }
        Lasts::Seconds(seconds) => start.timestamp().as_second().checked_add(*seconds),
        Lasts::Clock { .. } => None,
    };
    let window = start.timestamp().as_second()..end.ok_or("its end is too far away")?;
    if window.is_empty() {
        return Err("it does not end after it begins".into());
    }
    let rules: Vec<&str> = properties
        .iter()
        .filter(|property| is(property, "RRULE"))
        .map(|rule| rule.val.as_str())
        .collect();
    match rules[..] {
        [] => Ok(When::Once(window)),
        // One repetition in the place of another; the rule is that of the event that it belongs to.
        _ if find(properties, "RECURRENCE-ID").is_some() => Ok(When::Once(window)),
        [rule] => {
            if window.end - window.start > LONGEST {
                return Err("it is repeated and longer than a month".into());
            }
            let (days, limits) = rule::days(rule, start.date())?;
            let repeated = Repeated {
                zone: start.time_zone().clone(),
                first: start.date(),
                days,
                limits,
                begins: begins.time(),
                lasts,
                until: None,
                within: i64::MIN..i64::MAX,
                except: BTreeSet::new(),
                except_days: BTreeSet::new(),
            };
            let repeated = rule::until(rule, repeated)?;
            let repeated = excepting(repeated, properties, moved, its_zone)?;
            Ok(When::Repeated(Box::new(repeated)))
        }
        _ => Err("it has more than one RRULE".into()),
    }
}

/// How long an event is.
fn lasts(
    properties: &[Property<'_>],
    begins: &Moment,
    start: &Zoned,
    its_zone: Option<&TimeZone>,
) -> Result<Lasts, String> {
    if let Some(property) = find(properties, "DTEND") {
        return match (begins, Moment::of(property, its_zone)?) {
            (Moment::Day(first, _), Moment::Day(last, _)) => {
                let days = last.duration_since(*first).as_hours() / 24;
                let span = Span::new().try_days(days).map_err(|_| "its DTEND is too far away")?;
                Ok(Lasts::Nominal(span.fieldwise()))
            }
            (Moment::Time(..), end @ Moment::Time(..)) => Ok(Lasts::Seconds(
                end.zoned()?.timestamp().as_second() - start.timestamp().as_second(),
            )),
            _ => Err("one of DTSTART and DTEND is a day, and the other a time".into()),
        };
    }
    match (value(properties, "DURATION"), begins) {
        (Some(duration), _) => {
            let span: Option<Span> = duration.parse().ok();
            let units =
                |span: &Span| span.get_years() == 0 && span.get_months() == 0 && span.is_positive();
            let span =
                span.filter(|_| duration.trim_start_matches('+').starts_with('P')).filter(units);
            span.map(|span| Lasts::Nominal(span.fieldwise()))
                .ok_or_else(|| format!("its DURATION {:?} is not understood", shown(duration)))
        }
        (None, Moment::Day(..)) => Ok(Lasts::Nominal(1.day().fieldwise())),
        (None, Moment::Time(..)) => Err("it has neither DTEND nor DURATION".into()),
    }
}

/// The same, without the days and times that are left out or have an event of their own.
fn excepting(
    mut repeated: Repeated,
    properties: &[Property<'_>],
    moved: &[Moment],
    its_zone: Option<&TimeZone>,
) -> Result<Repeated, String> {
    let mut except = moved.to_vec();
    for property in properties.iter().filter(|property| is(property, "EXDATE")) {
        for text in property.val.as_str().split(',') {
            except.push(Moment::read(text, property, its_zone)?);
        }
    }
    for moment in except {
        match &moment {
            Moment::Day(day, _) => repeated.except_days.insert(*day),
            Moment::Time(..) => repeated.except.insert(moment.zoned()?.timestamp().as_second()),
        };
    }
    Ok(repeated)
}

/// A day or a time of a calendar, by the clock of a place.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Moment {
    Day(Date, TimeZone),
    Time(DateTime, TimeZone),
}

impl Moment {
    fn of(property: &Property<'_>, its_zone: Option<&TimeZone>) -> Result<Self, String> {
        Self::read(property.val.as_str(), property, its_zone)
    }

    /// Parses `text`, the value of `property`. A time without a zone is by the clock of the
    /// calendar's zone.
    fn read(
        text: &str,
        property: &Property<'_>,
        its_zone: Option<&TimeZone>,
    ) -> Result<Self, String> {
        let own = parameter(property, "TZID").map(zone).transpose()?;
        Self::parse(text.trim(), own.as_ref().or(its_zone))
            .map_err(|why| format!("its {} {:?} {why}", property.name, shown(text)))
    }

    /// Parses `20261122`, `20261122T020000` and `20261122T020000Z`.
    pub(super) fn parse(text: &str, zone: Option<&TimeZone>) -> Result<Self, &'static str> {
        const NOT_UNDERSTOOD: &str =
            "is neither a day such as 20261122 nor a time such as 20261122T020000Z";
        let (text, utc) = text.strip_suffix(['Z', 'z']).map_or((text, false), |text| (text, true));
        let number = |range: std::ops::Range<usize>| -> Option<i16> {
            text.get(range)
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?
                .parse()
                .ok()
        };
        let date = || Date::new(number(0..4)?, number(4..6)? as i8, number(6..8)? as i8).ok();
        let time = || {
            Time::new(number(9..11)? as i8, number(11..13)? as i8, number(13..15)? as i8, 0).ok()
        };
        match (text.len(), text.as_bytes().get(8), date()) {
            (8, None, Some(day)) if !utc => {
                Ok(Self::Day(day, zone.cloned().unwrap_or(TimeZone::UTC)))
            }
            (15, Some(b'T' | b't'), Some(day)) => {
                let local = day.to_datetime(time().ok_or(NOT_UNDERSTOOD)?);
                let zone = if utc { Some(TimeZone::UTC) } else { zone.cloned() };
                zone.map(|zone| Self::Time(local, zone))
                    .ok_or("has no zone: give it a TZID such as Europe/Berlin, or end it with Z")
            }
            _ => Err(NOT_UNDERSTOOD),
        }
    }

    pub(super) fn zoned(&self) -> Result<Zoned, String> {
        let (Self::Day(_, zone) | Self::Time(_, zone)) = self;
        let day = match self {
            Self::Day(day, _) => day.to_datetime(Time::midnight()),
            Self::Time(time, _) => *time,
        };
        zone.to_zoned(day).map_err(|_| format!("{day} is too far away"))
    }

    /// The time of day.
    fn time(&self) -> Time {
        match self {
            Self::Day(..) => Time::midnight(),
            Self::Time(time, _) => time.time(),
        }
    }
}

/// The instances that an event mutes, by its words.
fn who(properties: &[Property<'_>]) -> Result<Who, String> {
    let (mut instances, mut tags, mut all) = (BTreeSet::new(), Vec::new(), false);
    for property in properties.iter().filter(|property| TEXTS.iter().any(|name| is(property, name)))
    {
        let text = property.val.as_str();
        let said = text.to_lowercase();
        all |= said.contains("all instances")
            || said.split(['\n', ',']).any(|line| line.trim() == "all");
        let words = text.split(|at: char| at.is_whitespace() || ",;()[]<>\"'".contains(at));
        for word in words.map(|word| word.trim_end_matches(['.', ':', '!', '?'])) {
            if word.strip_prefix("i-").is_some_and(|digits| {
                digits.len() > 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            }) {
                instances.insert(word.parse::<TargetId>().map_err(|error| error.to_string())?);
            } else if is_tag(word) {
                tags.push(word);
            }
        }
    }
    match (instances.is_empty(), tags.is_empty(), all) {
        (false, true, false) => Ok(Who::Instances(instances)),
        (true, false, false) => {
            let rule: Result<TagRule, _> = tags.join(",").parse();
            rule.map(Who::Tags).map_err(|error| error.to_string())
        }
        (true, true, true) => Ok(Who::All),
        (true, true, false) => {
            Err("its words name no instance to mute: write instances (i-0123456789abcdef0), tags \
                 (role=batch) or `all instances` into it"
                .into())
        }
        _ => Err("its words name whom to mute in more than one way: make an event each for \
                  instances, tags and `all instances`"
            .into()),
    }
}

/// Whether a word is `key=value`, and no address with a question in it.
fn is_tag(word: &str) -> bool {
    let of_key = |character: char| character.is_alphanumeric() || "+-._:/@".contains(character);
    let is_key = |key: &str| !key.is_empty() && key.chars().all(of_key) && !key.contains("://");
    word.split_once('=').is_some_and(|(key, _)| is_key(key))
}

fn is(property: &Property<'_>, name: &str) -> bool {
    property.name.as_str().eq_ignore_ascii_case(name)
}

fn find<'a, 'b>(properties: &'a [Property<'b>], name: &str) -> Option<&'a Property<'b>> {
    properties.iter().find(|property| is(property, name))
}

fn value<'a>(properties: &'a [Property<'_>], name: &str) -> Option<&'a str> {
    find(properties, name).map(|property| property.val.as_str().trim())
}

fn parameter<'a>(property: &'a Property<'_>, name: &str) -> Option<&'a str> {
    let parameter = property
        .params
        .iter()
        .find(|parameter| parameter.key.as_str().eq_ignore_ascii_case(name))?;
    parameter.val.as_ref().map(|value| value.as_str())
}
