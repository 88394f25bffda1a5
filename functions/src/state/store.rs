//! The store of all state between runs: below one address in S3, or only in the process.
//!
//! `shards/<part>` is the [`State`] of a [part](Part) of the fleet, `baselines/<day>/<part>` its
//! baselines. Both are written on condition that
//! they still are the version that was read, so that of two runs at once only one decides.
//! `shards/<part>.published` is the beginning of the state whose outbox was published,
//! checksum included: another process need not publish that again.

use std::hash::{BuildHasher, Hasher, RandomState};

use deepguard_aws::ids::ObjectUri;
use deepguard_aws::ports::{Condition, Fetched, ObjectError, Objects};
use serde::Serialize;
use tracing::warn;

use crate::state::State;
use crate::state::days::Days;
use crate::state::format::{BEGINNING, MAX_BYTES};
use crate::state::part::Part;
use crate::state::place::Place;

/// The folder of the states.
pub(super) const STATES: &str = "shards";
/// The folder of digests in that of a division of the fleet.
pub(super) const DIGESTS: &str = "/digests/";
/// The end of the key that records a published outbox.
const PUBLISHED: &str = ".published";

/// How a run got its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It is not stored: the process remembers it as long as it lives.
    InProcess,
    /// The process knew it, and the stored one has not changed.
    Known,
    /// It was read.
    Read,
    /// It did not exist.
    Missing,
    /// It did not exist for this division of the fleet, and that of another one was taken over.
    Resharded,
    /// The stored one cannot be used. It is made anew from history.
    Damaged,
    /// It is unknown whether it exists: S3 does not answer.
    Unreachable,
}

/// The result of saving a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It is written, or need not be.
    Yes,
    /// It could not be written. The next run of this process tries again.
    No,
    /// Another run has decided meanwhile: this one must not publish its decisions.
    Superseded,
}

/// The place of a state, and the last known version there.
#[derive(Debug)]
pub struct Store<O> {
    pub(super) place: Place<O>,
    /// The folder of the states.
    states: &'static str,
    state: Option<Stored>,
    /// Tells the writes of this process from those of another that decided the same.
    writer: u64,
    /// The baselines, stored at the same place.
    pub(crate) baselines: Days<O>,
}

#[derive(Debug)]
struct Stored {
    /// The part of the fleet, as in the key.
    part: String,
    etag: Option<String>,
    /// The beginning of the object that was written last.
    beginning: Vec<u8>,
    /// The beginning of an object of which it is unknown whether it was written; else empty.
    attempted: Vec<u8>,
    /// `None` while a run has it. If the run ends without giving it back, the stored state is read
    /// again.
    state: Option<State>,
}

impl<O: Objects + Clone> Store<O> {
    /// Stores all below `root`, or, without one, nothing.
    pub fn new(objects: O, root: Option<ObjectUri>) -> Self {
        let place = Place { objects, root };
        Self {
            place: place.clone(),
            states: STATES,
            state: None,
            // A random number: each of these has keys of its own.
            writer: RandomState::new().build_hasher().finish(),
            baselines: Days::new(place),
        }
    }
}

impl<O: Objects> Store<O> {
    /// The same place, with separate states for the shadow. Baselines are made of CPU alone, so
    /// they are shared.
    #[must_use]
    pub fn of_shadow(self) -> Self {
        Self { states: "shadow/shards", ..self }
    }

    /// Whether there is an address to store at.
    pub fn keeps(&self) -> bool {
        self.place.root.is_some()
    }

    /// The state of `part`, to be [saved](Self::save) again, and how it was loaded.
    pub async fn state(&mut self, part: &Part) -> (State, Origin) {
        let key = part.to_string();
        let known = self.state.take().filter(|kept| kept.part == key);
        let attempted = known.as_ref().map_or(Vec::new(), |kept| kept.attempted.clone());
        let is_own = |bytes: &[u8]| !attempted.is_empty() && bytes.starts_with(&attempted);
        let known = known.and_then(|kept| Some((kept.etag, kept.state?)));
        let Ok(Some(uri)) = self.place.uri(&format!("{}/{key}", self.states)) else {
            let state = known.map(|(_, state)| state).unwrap_or_default();
            self.state = Some(Stored {
                part: key,
                etag: None,
                beginning: Vec::new(),
                attempted: Vec::new(),
                state: None,
            });
            return (state, Origin::InProcess);
        };
        let etag = known.as_ref().and_then(|(etag, _)| etag.as_deref());
        let (etag, state, loaded) =
            match (self.place.objects.get(&uri, etag, MAX_BYTES).await, known) {
                (Ok(Fetched::Unchanged), Some((etag, state))) => (etag, state, Origin::Known),
                // It is the process's own, from a write whose answer got lost.
                (Ok(Fetched::Object { bytes, etag }), Some((_, state))) if is_own(&bytes) => {
                    (etag, state, Origin::Known)
                }
                (Ok(Fetched::Object { bytes, etag }), known) => {
                    // The first load by this process: another division of the fleet may have gone
                    // on since.
                    let others =
                        if known.is_none() { self.other_states(&uri, part).await } else { None };
                    match State::from_bytes(&bytes) {
                        Ok(mut state) => {
                            self.forget_published(&uri, &bytes, &mut state).await;
                            let resharded = others.is_some();
                            others.into_iter().for_each(|others| state.take_over(others, part));
                            (etag, state, if resharded { Origin::Resharded } else { Origin::Read })
                        }
                        Err(error) => {
                            warn!(%uri, %error, "the state is made anew");
                            // The process has a state that is older than the damaged one, and
                            // valid.
                            (
                                etag,
                                known.map(|(_, state)| state).or(others).unwrap_or_default(),
                                Origin::Damaged,
                            )
                        }
                    }
                }
                (Err(ObjectError::Missing { .. }) | Ok(Fetched::Unchanged), known) => match known {
                    Some((_, state)) => (None, state, Origin::Missing),
                    None => match self.other_states(&uri, part).await {
                        Some(state) => (None, state, Origin::Resharded),
                        None => (None, State::default(), Origin::Missing),
                    },
                },
                (Err(error), known) => {
                    warn!(%error, "the state cannot be read");
                    let damaged = matches!(error, ObjectError::TooLarge { .. });
                    let (etag, state) = known.unwrap_or_default();
                    (etag, state, if damaged { Origin::Damaged } else { Origin::Unreachable })
                }
            };
        self.state = Some(Stored {
            part: key,
            etag,
            beginning: Vec::new(),
            attempted: Vec::new(),
            state: None,
        });
        (state, loaded)
    }

    /// The state in other divisions of the fleet for the instances of `part`, where they were
    /// written after the object at `own`.
    async fn other_states(&self, own: &ObjectUri, part: &Part) -> Option<State> {
        let folder = self.place.uri(self.states).ok()??;
        let listed = self
            .place
            .objects
            .list(&folder)
            .await
            .inspect_err(|error| warn!(%error, "no other states"))
            .ok()?;
        let since = listed
            .iter()
            .find(|object| object.uri == *own)
            .map_or(i64::MIN, |object| object.written);
        let division = format!("{}/{}/", folder.key, part.folder());
        let is_state = |key: &str| {
            !key.starts_with(&division) && !key.ends_with(PUBLISHED) && !key.contains(DIGESTS)
        };
        let others =
            listed.iter().filter(|object| is_state(&object.uri.key) && object.written >= since);
        let mut taken: Option<State> = None;
        for other in others {
            let read = self
                .place
                .read(&other.uri, |bytes| {
                    Ok((State::from_bytes(bytes)?, bytes[..BEGINNING].to_vec()))
                })
                .await;
            match read {
                Ok(((mut state, beginning), _)) => {
                    self.forget_published(&other.uri, &beginning, &mut state).await;
                    taken.get_or_insert_default().take_over(state, part);
                }
                Err(error) => warn!(%error, "another state is left out"),
            }
        }
        taken
    }

    /// Empties the outbox of the state read from `uri` if it was published. Where that is unknown,
    /// it is published again.
    async fn forget_published(&self, uri: &ObjectUri, bytes: &[u8], state: &mut State) {
        let digests = state.ledger.waiting().is_empty() && state.together.is_done();
        if state.outbox.is_empty() && state.alerts.is_empty() && digests {
            return;
        }
        let Ok(marker) = uri.beside(&format!("{}{PUBLISHED}", uri.key)) else { return };
        if let Ok(Fetched::Object { bytes: published, .. }) =
            self.place.objects.get(&marker, None, BEGINNING).await
            && published.len() == BEGINNING
            && bytes.starts_with(&published)
        {
            state.outbox.clear();
            state.alerts.clear();
            state.ledger.sent_but(&[]);
            state.together.done();
        }
    }

    /// Notes that the outbox of the state that was saved is published.
    pub async fn published(&mut self) {
        let Some(Stored { part, beginning, .. }) = &self.state else { return };
        if beginning.is_empty() {
            return;
        }
        if let Ok(Some(uri)) = self.place.uri(&format!("{}/{part}{PUBLISHED}", self.states))
            && let Err(error) =
                self.place.objects.put(&uri, Condition::None, beginning.clone()).await
        {
            warn!(%error, "the outbox is not noted as published: another process sends it again");
        }
    }

    /// Writes the state down, unless another run has written one since it was read.
    pub async fn save(&mut self, state: &State) -> Saved {
        let Some(Stored { part, etag, .. }) = &self.state else { return Saved::No };
        let Ok(Some(uri)) = self.place.uri(&format!("{}/{part}", self.states)) else {
            return Saved::Yes;
        };
        let bytes = match state.to_bytes_by(self.writer) {
            Ok(bytes) => bytes,
            Err(error) => {
                warn!(%error, "the state cannot be written");
                return Saved::No;
            }
        };
        // Its checksum, to know it again.
        let beginning = bytes[..BEGINNING].to_vec();
        let written = match self.place.objects.put(&uri, etag.as_deref().into(), bytes).await {
            Ok(written) => written,
            Err(error) => {
                warn!(%error, "the state is not written, or it is not known whether it is");
                self.state.iter_mut().for_each(|kept| kept.attempted.clone_from(&beginning));
                return Saved::No;
            }
        };
        let written = match written {
            Some(etag) => Some(etag),
            // It may be our own write, from a try whose answer got lost.
            None => match self.place.objects.get(&uri, None, MAX_BYTES).await {
                Ok(Fetched::Object { bytes: there, etag }) if there.starts_with(&beginning) => etag,
                Ok(_) => None,
                // The object was removed: the next run writes it as a new one.
                Err(ObjectError::Missing { .. }) => {
                    self.state.iter_mut().for_each(|kept| kept.etag = None);
                    return Saved::No;
                }
                // A run has decided. If it was this run, the next one publishes its decisions.
                Err(_) => None,
            },
        };
        match (written, &mut self.state) {
            (Some(etag), Some(kept)) => {
                kept.etag = Some(etag);
                kept.beginning = beginning;
                kept.attempted.clear();
                Saved::Yes
            }
            _ => {
                self.state = None;
                Saved::Superseded
            }
        }
    }

    /// Remembers the state for the next run of this process.
    pub fn remember(&mut self, state: State) {
        if let Some(kept) = &mut self.state {
            kept.state = Some(state);
        }
    }
}
