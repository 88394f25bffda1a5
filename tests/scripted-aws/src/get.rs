//! GetMetricData.

use std::collections::HashSet;

use aws_smithy_cbor::Encoder;
use aws_smithy_types::DateTime;

use crate::Shared;
use crate::answer::Answer;
use crate::cbor::{GetRequest, Query};
use crate::cloudwatch::{
    DIMENSION, GROUP_DIMENSION, METRIC, NAMESPACE, answer, refused, throttled,
};
use crate::fault::{Hit, Kind};
use crate::fleet::SLOT;
use crate::hash;
use crate::pages::{Place, Why};

/// How recent the start is, for the lower limit of datapoints a second.
const RECENT: i64 = 3 * 3600;

/// A page's part of one query.
#[derive(Debug)]
struct Page<'a> {
    query: &'a Query,
    points: Vec<(i64, f64)>,
    /// Whether no points follow on other pages.
    complete: bool,
    status: Option<&'static str>,
    message: bool,
}

pub(crate) fn get(
    shared: &Shared,
    request: &GetRequest,
    now: i64,
    hits: &[Hit],
) -> Result<Answer, Answer> {
    let (start, end) = check(request, shared.limits.queries_per_get)?;
    let fingerprint = fingerprint(shared.seed, request, start, end);
    let place = match &request.token {
        None => Place::first(now),
        Some(token) => {
            let unknown = || refused("InvalidNextToken", "The next token specified is invalid.");
            Place::of(token, fingerprint).ok_or_else(unknown)?
        }
    };
    let queries: Vec<&Query> = request.queries.iter().filter(|query| query.returns_data).collect();
    let most = request.most.unwrap_or(i64::MAX).clamp(1, shared.limits.datapoints_per_page as i64)
        as usize;
    let (mut pages, next) = fill(shared, &queries, (start, end), request.ascending, place, most);
    let count: usize = pages.iter().map(|page| page.points.len()).sum();
    if !shared.rates.lock().unwrap().datapoints(start >= now - RECENT, count) {
        return Err(throttled());
    }
    for hit in hits {
        spoil(&mut pages, hit, request.ascending, (start, end), next.is_none());
    }
    let count = pages.iter().map(|page| page.points.len()).sum();
    let messages = hits.iter().any(|hit| hit.kind == Kind::Messages);
    let token = place.follow(next, hits).map(|place| place.token(fingerprint));
    let mut answer = answer(encode(&pages, token.as_deref(), messages, count));
    answer.datapoints = count;
    Ok(answer)
}

/// The start and end of a request that keeps to the rules.
fn check(request: &GetRequest, most: usize) -> Result<(i64, i64), Answer> {
    let invalid = |message: String| refused("ValidationError", message);
    let (Some(start), Some(end)) = (request.start, request.end) else {
        return Err(invalid("StartTime and EndTime are required.".into()));
    };
    if request.queries.is_empty() || request.queries.len() > most {
        return Err(invalid(format!(
            "The collection MetricDataQueries must not be empty and must not have a size greater \
             than {most}."
        )));
    }
    if start >= end {
        return Err(invalid(
            "The parameter StartTime must be less than the parameter EndTime.".into(),
        ));
    }
    let mut ids = HashSet::new();
    for Query { id, period, .. } in &request.queries {
        let mut characters = id.chars();
        let proper = characters.next().is_some_and(|first| first.is_ascii_lowercase())
            && characters.all(|character| character.is_ascii_alphanumeric() || character == '_');
        if !proper {
            return Err(invalid(format!(
                "The value {id} for parameter MetricDataQueries Id is invalid."
            )));
        }
        if !ids.insert(id) {
            return Err(invalid(format!(
                "The values for parameter id in MetricDataQueries are not unique: {id}."
            )));
        }
        if request.queries.iter().any(|query| !query.has_metric) {
            return Err(invalid("A query without MetricStat is not played here.".into()));
        }
        if *period < 60 || period % 60 != 0 {
            let message = format!("The period {period} of {id} must be a multiple of 60.");
            return Err(refused("InvalidParameterValue", message));
        }
        let aligned = |time: f64| time.fract() == 0.0 && time as i64 % period == 0;
        // The real service would move them, and answer another question.
        if !aligned(start) || !aligned(end) {
            let message =
                format!("StartTime and EndTime must be aligned with the period {period} of {id}.");
            return Err(refused("InvalidParameterValue", message));
        }
    }
    if request.queries.iter().all(|query| !query.returns_data) {
        let message = "At least one query must return data.";
        return Err(refused("InvalidParameterCombination", message));
    }
    Ok((start as i64, end as i64))
}

fn fingerprint(seed: u64, request: &GetRequest, start: i64, end: i64) -> u64 {
    let fixed = [seed, start as u64, end as u64, u64::from(request.ascending)];
    request.queries.iter().fold(hash::of(&fixed), |hash, query| {
        let instance = query.dimensions.first().map_or("", |dimension| &dimension.1);
        hash::of(&[
            hash,
            hash::bytes(query.id.as_bytes()),
            hash::bytes(instance.as_bytes()),
            query.period as u64,
        ])
    })
}

/// The results from `place` on, as far as `most` points reach, and where the next page begins.
fn fill<'a>(
    shared: &Shared,
    queries: &[&'a Query],
    (start, end): (i64, i64),
    ascending: bool,
    place: Place,
    most: usize,
) -> (Vec<Page<'a>>, Option<Place>) {
    let mut pages = Vec::new();
    let mut room = most;
    for (index, query) in queries.iter().enumerate().skip(place.index) {
        let next = |offset| Some(Place { why: Why::Next, now: place.now, index, offset });
        if room == 0 {
            return (pages, next(0));
        }
        let offset = if index == place.index { place.offset } else { 0 };
        let mut points = points(shared, query, start, end, place.now);
        if !ascending {
            points.reverse();
        }
        points.drain(..offset.min(points.len()));
        let complete = points.len() <= room;
        points.truncate(room);
        room -= points.len();
        let given = points.len();
        pages.push(Page { query, points, complete, status: None, message: false });
        if !complete {
            return (pages, next(offset + given));
        }
    }
    (pages, None)
}

/// All points of a query, ascending.
fn points(shared: &Shared, query: &Query, start: i64, end: i64, now: i64) -> Vec<(i64, f64)> {
    let [(name, of)] = &query.dimensions[..] else { return Vec::new() };
    if query.namespace != NAMESPACE || query.metric != METRIC {
        return Vec::new();
    }
    let mut points = match name.as_str() {
        DIMENSION => shared.fleet.datapoints(of, start, end, now),
        GROUP_DIMENSION => shared.fleet.group_datapoints(of, start, end, now),
        _ => return Vec::new(),
    };
    points.retain(|(time, _)| (start..end).contains(time));
    if query.period <= SLOT && query.stat == "Average" {
        return points;
    }
    let statistic = |group: &[(i64, f64)]| {
        let values = group.iter().map(|point| point.1);
        match query.stat.as_str() {
            "Minimum" => values.fold(f64::INFINITY, f64::min),
            "Maximum" => values.fold(f64::NEG_INFINITY, f64::max),
            "Sum" => values.sum(),
            "SampleCount" => group.len() as f64,
            _ => values.sum::<f64>() / group.len() as f64,
        }
    };
    let period = |time: i64| time.div_euclid(query.period);
    let groups = points.chunk_by(|a, b| period(a.0) == period(b.0));
    groups.map(|group| (period(group[0].0) * query.period, statistic(group))).collect()
}

/// Lets a fault act on a page.
fn spoil(pages: &mut Vec<Page<'_>>, hit: &Hit, ascending: bool, range: (i64, i64), last: bool) {
    let concerns = |query: &Query| {
        hit.only.as_ref().is_none_or(|only| {
            query.namespace == *only || query.dimensions.iter().any(|d| d.1 == *only)
        })
    };
    if hit.kind == Kind::LeaveOut {
        let candidates: Vec<usize> =
            (0..pages.len()).filter(|index| concerns(pages[*index].query)).collect();
        if !candidates.is_empty() {
            pages.remove(candidates[hit.chance as usize % candidates.len()]);
        }
        return;
    }
    for page in pages.iter_mut().filter(|page| concerns(page.query)) {
        let points = &mut page.points;
        match &hit.kind {
            Kind::Descending => points.sort_by_key(|point| std::cmp::Reverse(point.0)),
            Kind::Shuffle => points.sort_by_key(|point| hash::of(&[hit.chance, point.0 as u64])),
            Kind::Duplicate => *points = points.iter().flat_map(|point| [*point, *point]).collect(),
            Kind::Missing(k) => {
                let whose = page
                    .query
                    .dimensions
                    .first()
                    .map_or(0, |dimension| hash::bytes(dimension.1.as_bytes()));
                let first = whose.checked_rem(*k).unwrap_or_default();
                let kept = |time: i64| !(time.div_euclid(SLOT) as u64 + first).is_multiple_of(*k);
                points.retain(|point| kept(point.0));
            }
            Kind::NaN => *points = with_nan(points, page.query.period.max(SLOT), ascending, range),
            Kind::Partial if last => {
                let half = points.len().div_ceil(2);
                match ascending {
                    true => points.truncate(points.len() - half),
                    false => drop(points.drain(..half)),
                }
                page.status = Some("PartialData");
            }
            Kind::InternalResult | Kind::ForbiddenResult => {
                points.clear();
                page.status = Some(if hit.kind == Kind::ForbiddenResult {
                    "Forbidden"
                } else {
                    "InternalError"
                });
                page.message = true;
            }
            Kind::Messages => page.message = true,
            _ => {}
        }
    }
}

/// The points with a NaN after every fifth of them and at every slot without a point.
fn with_nan(
    points: &[(i64, f64)],
    period: i64,
    ascending: bool,
    (start, end): (i64, i64),
) -> Vec<(i64, f64)> {
    let known: HashSet<i64> = points.iter().map(|point| point.0).collect();
    let mut all: Vec<(i64, f64)> = points.to_vec();
    all.extend(points.iter().step_by(5).map(|point| (point.0, f64::NAN)));
    let slots = (start + (-start).rem_euclid(period)..end).step_by(period as usize);
    all.extend(slots.filter(|time| !known.contains(time)).map(|time| (time, f64::NAN)));
    all.sort_by_key(|point| if ascending { point.0 } else { -point.0 });
    all
}

fn encode(pages: &[Page<'_>], token: Option<&str>, messages: bool, count: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(count * 20 + pages.len() * 120 + 200));
    encoder.map(1 + usize::from(token.is_some()) + usize::from(messages));
    encoder.str("MetricDataResults").array(pages.len());
    for page in pages {
        encoder.map(5 + usize::from(page.message));
        encoder.str("Id").str(&page.query.id).str("Label").str(&page.query.metric);
        encoder.str("Timestamps").array(page.points.len());
        for (time, _) in &page.points {
            encoder.timestamp(&DateTime::from_secs(*time));
        }
        encoder.str("Values").array(page.points.len());
        for (_, value) in &page.points {
            encoder.double(*value);
        }
        let status = page.status.unwrap_or(if page.complete { "Complete" } else { "PartialData" });
        encoder.str("StatusCode").str(status);
        if page.message {
            encoder
                .str("Messages")
                .array(1)
                .map(2)
                .str("Code")
                .str(page.status.unwrap_or("Warning"));
            encoder.str("Value").str("said the script");
        }
    }
    if let Some(token) = token {
        encoder.str("NextToken").str(token);
    }
    if messages {
        encoder
            .str("Messages")
            .array(1)
            .map(2)
            .str("Code")
            .str("Warning")
            .str("Value")
            .str("said the script");
    }
    encoder.into_writer()
}
