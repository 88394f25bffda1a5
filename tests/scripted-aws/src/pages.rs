//! The place where the next page begins, as a token. It shows whether it is one of ours and belongs
//! to the same request.

use crate::fault::{Hit, Kind};
use crate::hash;

/// Why a place is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// To go on.
    Next,
    /// To see the same page once more.
    Again,
    /// To see the same page for ever.
    Loop,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) why: Why,
    /// The virtual time of the first page: later pages are of the same moment.
    pub(crate) now: i64,
    /// Of the query, or of the metric.
    pub(crate) index: usize,
    /// In the points of the query, in the order in which they are given.
    pub(crate) offset: usize,
}

impl Place {
    pub(crate) fn first(now: i64) -> Self {
        Self { why: Why::Next, now, index: 0, offset: 0 }
    }

    /// The token of this place. `request` is a hash of the request.
    pub(crate) fn token(&self, request: u64) -> String {
        let why = match self.why {
            Why::Next => "next",
            Why::Again => "again",
            Why::Loop => "loop",
        };
        let Self { now, index, offset, .. } = *self;
        let check = hash::of(&[request, self.why as u64, now as u64, index as u64, offset as u64]);
        format!("{why}.{now}.{index}.{offset}.{check:016x}")
    }

    /// The place of a token.
    pub(crate) fn of(token: &str, request: u64) -> Option<Self> {
        let parts: Vec<&str> = token.split('.').collect();
        let [why, now, index, offset, _] = parts[..] else { return None };
        let why = match why {
            "next" => Why::Next,
            "again" => Why::Again,
            "loop" => Why::Loop,
            _ => return None,
        };
        let place = Self {
            why,
            now: now.parse().ok()?,
            index: index.parse().ok()?,
            offset: offset.parse().ok()?,
        };
        (place.token(request) == token).then_some(place)
    }

    /// The place after a page that begins here and that `next` follows, with these faults.
    pub(crate) fn follow(self, next: Option<Self>, hits: &[Hit]) -> Option<Self> {
        let hit = |kind: Kind| hits.iter().any(|hit| hit.kind == kind);
        if self.why == Why::Loop || hit(Kind::LoopToken) {
            Some(Self { why: Why::Loop, ..self })
        } else if self.why != Why::Again && hit(Kind::RepeatPage) {
            Some(Self { why: Why::Again, ..self })
        } else {
            next
        }
    }
}
