//! Labels: a person says of a page that it was no anomaly. The same shape of the same machine or
//! group is quiet for two weeks then, unless it gets worse.

use serde::{Deserialize, Serialize};

use super::one::{Incident, Scope};
use crate::episode::WORSE;
use crate::series::DAY_SECONDS;
use crate::shape::Shape;

/// How long a page can be labelled, and how long its label lasts, in seconds: two weeks.
pub const LASTS: i64 = 14 * DAY_SECONDS;
/// The most pages that can be labelled, and the most labels. The oldest are given up first.
const MOST: usize = 500;

/// A page that can be labelled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Paged<Id> {
    first: (Id, i64),
    scope: Scope<Id>,
    shape: Shape,
    peak: f64,
    /// When it was last open, in seconds since 1970.
    at: i64,
}

/// A shape that is quiet on a machine, a group or the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quiet<Id> {
    /// The incident that was labelled: its first machine, and when that one's episode was
    /// reported, in seconds since 1970.
    pub first: (Id, i64),
    /// Where it is quiet. A group includes each of its machines.
    pub scope: Scope<Id>,
    /// The kind of anomaly that is quiet.
    pub shape: Shape,
    /// The highest severity of the incident that was labelled.
    pub peak: f64,
    /// The incidents that begin before this time are quiet, in seconds since 1970.
    pub until: i64,
}

/// No page that can be labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such incident has paged within two weeks")]
pub struct NotPaged;

/// The pages that can be labelled, and the labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Labels<Id> {
    /// The newest last.
    paged: Vec<Paged<Id>>,
    /// The newest last.
    quiet: Vec<Quiet<Id>>,
}

impl<Id> Default for Labels<Id> {
    fn default() -> Self {
        Self { paged: Vec::new(), quiet: Vec::new() }
    }
}

impl<Id> Quiet<Id> {
    /// The severity from which on an incident pages all the same.
    pub fn worse(&self) -> f64 {
        WORSE * self.peak
    }
}

impl<Id: Ord + Clone> Quiet<Id> {
    fn is_of(&self, scope: &Scope<Id>, shape: Shape) -> bool {
        self.scope == *scope && self.shape == shape
    }

    /// Whether it keeps an incident from paging.
    fn covers(&self, incident: &Incident<Id>) -> bool {
        let within = match (&self.scope, &incident.scope) {
            (Scope::Group(name), Scope::Machine(_)) => incident.group.as_ref() == Some(name),
            (quiet, scope) => quiet == scope || self.first == incident.first,
        };
        // A machine that stops has no severity that could be compared.
        let stops = incident.stopped && self.shape != Shape::Stopped;
        let is_worse = stops || incident.peak >= self.worse();
        within && self.shape == incident.shape && incident.first.1 < self.until && !is_worse
    }
}

impl<Id: Ord + Clone> Labels<Id> {
    /// What is quiet at the time `now` (seconds since 1970), what ends first coming first.
    pub fn quiet(&self, now: i64) -> Vec<&Quiet<Id>> {
        let mut quiet: Vec<_> = self.quiet.iter().filter(|quiet| now < quiet.until).collect();
        quiet.sort_by_key(|quiet| quiet.until);
        quiet
    }

    /// Labels the incident that began with `first` as no anomaly, at the time `now` (seconds since
    /// 1970). The same label again changes nothing, unless the incident has got worse meanwhile.
    ///
    /// # Errors
    /// [`NotPaged`].
    pub fn label(&mut self, first: &(Id, i64), now: i64) -> Result<&Quiet<Id>, NotPaged> {
        let paged = self.paged(first, now)?.clone();
        let known = self.quiet.iter().position(|quiet| quiet.is_of(&paged.scope, paged.shape));
        let lasting = known.map(|index| self.quiet.remove(index)).filter(|it| now < it.until);
        let label = match lasting {
            Some(same) if same.first == paged.first && same.peak >= paged.peak => same,
            before => {
                let peak = before.map_or(paged.peak, |before| before.peak.max(paged.peak));
                let Paged { first, scope, shape, .. } = paged;
                Quiet { first, scope, shape, peak, until: now + LASTS }
            }
        };
        self.quiet.push(label);
        self.bound();
        self.quiet.last().ok_or(NotPaged)
    }

    /// Takes the label of the incident that began with `first` back, at the time `now` (seconds
    /// since 1970). Without a label nothing changes.
    ///
    /// # Errors
    /// [`NotPaged`].
    pub fn take_back(&mut self, first: &(Id, i64), now: i64) -> Result<(), NotPaged> {
        let Paged { scope, shape, .. } = self.paged(first, now)?.clone();
        self.quiet.retain(|quiet| !quiet.is_of(&scope, shape));
        Ok(())
    }

    fn paged(&self, first: &(Id, i64), now: i64) -> Result<&Paged<Id>, NotPaged> {
        let is_it = |paged: &&Paged<Id>| paged.first == *first && now - paged.at <= LASTS;
        self.paged.iter().find(is_it).ok_or(NotPaged)
    }

    /// Whether an incident is quiet.
    pub(super) fn hush(&self, incident: &Incident<Id>) -> bool {
        self.quiet.iter().any(|quiet| quiet.covers(incident))
    }

    /// Remembers those of the `open` incidents that have paged, at the time `now` (seconds since
    /// 1970), and forgets what is old.
    pub(super) fn remember(&mut self, open: &[Incident<Id>], now: i64) {
        self.paged.retain(|paged| now - paged.at <= LASTS);
        // An incident that began before the end of a label may last for a day.
        self.quiet.retain(|quiet| now - quiet.until <= DAY_SECONDS);
        for incident in open.iter().filter(|incident| incident.paged.is_some()) {
            self.paged.retain(|paged| paged.first != incident.first);
            let Incident { first, scope, shape, peak, .. } = incident.clone();
            self.paged.push(Paged { first, scope, shape, peak, at: now });
        }
        self.bound();
    }

    fn bound(&mut self) {
        self.paged.drain(..self.paged.len().saturating_sub(MOST));
        self.quiet.drain(..self.quiet.len().saturating_sub(MOST));
    }

    /// Takes over what another part of the fleet knows of scopes that are `ours`.
    pub(super) fn take_over(&mut self, other: Self, ours: impl Fn(&Scope<Id>) -> bool) {
        for paged in other.paged.into_iter().filter(|paged| ours(&paged.scope)) {
            if !self.paged.iter().any(|known| known.first == paged.first) {
                self.paged.push(paged);
            }
        }
        for quiet in other.quiet.into_iter().filter(|quiet| ours(&quiet.scope)) {
            match self.quiet.iter_mut().find(|known| known.is_of(&quiet.scope, quiet.shape)) {
                Some(known) if known.until < quiet.until => *known = quiet,
                Some(_) => {}
                None => self.quiet.push(quiet),
            }
        }
        self.bound();
    }
}

#[cfg(test)]
mod tests;
