//! Faults, and when they happen.

use std::collections::HashMap;
use std::time::Duration;

use crate::hash;

/// An effect on certain calls of an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The operation (`GetMetricData`, `PutObject`), a service (`cloudwatch:*`, `s3:*`, `events:*`,
    /// `sns:*`, `tagging:*`) or all (`*`).
    pub operation: String,
    /// Only calls about this instance id, this namespace, this bus, the topic with this ARN, or
    /// keys that begin with this `bucket/key`; of a GetMetricData answer only the result of this
    /// instance.
    pub only: Option<String>,
    /// Which of those calls.
    pub when: When,
    /// The effect on them.
    pub kind: Kind,
}

impl Fault {
    /// A fault of an operation: its name, a service such as `s3:*`, or `*`.
    pub fn new(operation: &str, when: When, kind: Kind) -> Self {
        Self { operation: operation.into(), only: None, when, kind }
    }

    /// Limits it to an instance id, a namespace, a bus, a topic or the start of a `bucket/key`.
    #[must_use]
    pub fn only(self, what: &str) -> Self {
        Self { only: Some(what.into()), ..self }
    }

    fn is_about(&self, service: &str, operation: &str) -> bool {
        match self.operation.strip_suffix(":*") {
            Some(name) => name == service,
            None => self.operation == "*" || self.operation == operation,
        }
    }
}

/// Selects the calls that a fault hits, among those it is about. They are counted from when the
/// fault was added, in order of arrival, each operation by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// All of them.
    Always,
    /// The n-th only, from 1.
    Nth(u64),
    /// The first n.
    First(u64),
    /// Every n-th: n, 2n, 3n, ...
    Every(u64),
    /// Each with this probability, drawn from the seed.
    Probability(f64),
    /// Those that come at a virtual time from the first to before the second.
    Between(i64, i64),
}

/// The effect on a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// "Rate exceeded": HTTP 400 with this code of CloudWatch (`Throttling`,
    /// `ThrottlingException`); of S3 always 503 `SlowDown`.
    Throttle(&'static str),
    /// This HTTP status without a body.
    Status(u16),
    /// This HTTP status with an HTML page.
    Html(u16),
    /// The connection is closed without an answer; nothing was carried out.
    Reset,
    /// The connection is closed without an answer after the call was carried out.
    ResetAfter,
    /// The call waits for this long before it is carried out.
    Slow(Duration),
    /// The call is carried out at once, but the answer waits for this long.
    SlowAnswer(Duration),
    /// The body of the answer drips, for this long in all.
    SlowBody(Duration),
    /// The body of the answer ends in the middle, with fewer bytes than announced.
    Truncate,
    /// 403 `AccessDenied`; in JSON 400 `AccessDeniedException`, of SNS 403 `AuthorizationError`.
    Forbidden,
    /// `ExpiredToken`: 403 of CloudWatch, 400 of S3.
    Expired,
    /// 403 `RequestTimeTooSkewed`, with a Date an hour ahead.
    ClockSkew,
    /// 409 `ConditionalRequestConflict`, as S3 answers when another write is under way.
    Conflict,
    /// The points of each result in descending order, whatever the request asked for.
    Descending,
    /// The points of each result in no order.
    Shuffle,
    /// Every point twice.
    Duplicate,
    /// Every k-th slot has no point, the same slots in every answer.
    Missing(u64),
    /// A NaN after every fifth point at the same time, and at every slot without a value.
    NaN,
    /// The last page says `PartialData` and lacks the newest half of each result.
    Partial,
    /// Results are `InternalError`, without points.
    InternalResult,
    /// Results are `Forbidden`, without points.
    ForbiddenResult,
    /// Messages with the answer and with each result.
    Messages,
    /// The page comes once more behind a NextToken, and then the next one.
    RepeatPage,
    /// The page comes again and again behind the same NextToken.
    LoopToken,
    /// One query has no result at all.
    LeaveOut,
    /// One entry of a PutEvents or PublishBatch call fails, through no fault of the caller, and the
    /// others are taken.
    FailEntry,
}

/// A fault that hits a call.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) kind: Kind,
    pub(crate) only: Option<String>,
    /// A random number for this hit alone.
    pub(crate) chance: u64,
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    number: u64,
    counts: HashMap<String, u64>,
}

/// The active faults.
#[derive(Debug)]
pub(crate) struct Faults {
    seed: u64,
    /// The number of faults so far, so that no two draw the same random numbers.
    added: u64,
    active: Vec<Active>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, added: 0, active: Vec::new() }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.active.push(Active { fault, number: self.added, counts: HashMap::new() });
        self.added += 1;
    }

    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// Counts a call, and returns the faults that hit it. `concerns` says whether it is about an
    /// instance, namespace or key.
    pub(crate) fn hits(
        &mut self,
        service: &str,
        operation: &str,
        now: i64,
        concerns: impl Fn(&str) -> bool,
    ) -> Vec<Hit> {
        let mut hits = Vec::new();
        for active in &mut self.active {
            let Active { fault, number, counts } = active;
            if !fault.is_about(service, operation) || !fault.only.as_deref().is_none_or(&concerns) {
                continue;
            }
            let count = counts.entry(operation.into()).or_default();
            *count += 1;
            let count = *count;
            let chance = hash::of(&[self.seed, *number, hash::bytes(operation.as_bytes()), count]);
            let hit = match fault.when {
                When::Always => true,
                When::Nth(n) => count == n,
                When::First(n) => count <= n,
                When::Every(n) => count.is_multiple_of(n),
                When::Probability(p) => hash::unit(chance) < p,
                When::Between(from, to) => (from..to).contains(&now),
            };
            if hit {
                let chance = hash::of(&[chance]);
                hits.push(Hit { kind: fault.kind.clone(), only: fault.only.clone(), chance });
            }
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(when: When, calls: u64) -> Vec<u64> {
        let mut faults = Faults::new(1);
        faults.add(Fault::new("GetObject", when, Kind::Reset));
        let hits = |n: &u64| !faults.hits("s3", "GetObject", *n as i64, |_| true).is_empty();
        (1..=calls).filter(hits).collect()
    }

    #[test]
    fn calls_are_counted() {
        assert_eq!(hit(When::Always, 3), [1, 2, 3]);
        assert_eq!(hit(When::Nth(2), 5), [2]);
        assert_eq!(hit(When::First(2), 5), [1, 2]);
        assert_eq!(hit(When::Every(2), 5), [2, 4]);
        assert_eq!(hit(When::Between(2, 4), 5), [2, 3]);
        let some = hit(When::Probability(0.3), 1000);
        assert!((250..350).contains(&some.len()), "{}", some.len());
        assert_eq!(some, hit(When::Probability(0.3), 1000));
    }

    #[test]
    fn a_fault_is_about_its_operation_only() {
        let about = |pattern: &str| {
            Fault::new(pattern, When::Always, Kind::Reset).is_about("s3", "GetObject")
        };
        assert!(about("*") && about("s3:*") && about("GetObject"));
        assert!(!about("cloudwatch:*") && !about("PutObject"));
        let mut faults = Faults::new(1);
        faults.add(Fault::new("*", When::Nth(1), Kind::Reset).only("i-1"));
        let mut hits =
            |operation, whose: &str| faults.hits("x", operation, 0, |only| only == whose).len();
        assert_eq!(
            [hits("A", "i-2"), hits("A", "i-1"), hits("A", "i-1"), hits("B", "i-1")],
            [0, 1, 0, 1]
        );
    }
}
