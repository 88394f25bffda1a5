//! The store of all state between runs: below one address in S3, or only in the process.
//!
//! `shards/<shards>/<shard>` is the [`State`] of a part of the fleet,
//! `baselines/<day>/<shards>/<shard>` its [`Baselines`]. Both are written on condition that they
//! still are the version that was read, so that of two runs at once only one decides.
//! `shards/<shards>/<shard>.published` is the beginning of the state whose outbox was published,
//! checksum included: another process need not publish that again.

use std::collections::BTreeMap;

use deepguard::track::Known;
use deepguard_aws::ids::{InstanceId, NotAnObject, ObjectUri};
use deepguard_aws::ports::{Fetched, ObjectError, Objects, Only};
use serde::Serialize;
use tokio::time::Instant;
use tracing::warn;

use crate::deadline::Limited;
use crate::state::State;
use crate::state::baselines::Baselines;
use crate::state::format::{BEGINNING, Damaged, MAX_BYTES};
use crate::state::shard::Shard;
use crate::time::date;

/// The end of the key that records a published outbox.
const PUBLISHED: &str = ".published";
/// The number of tries to merge concurrent writes before giving up.
const TRIES: usize = 4;

/// How a run got its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loaded {
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
    objects: Limited<O>,
    root: Option<ObjectUri>,
    /// Below it, the folder of the states.
    states: &'static str,
    state: Option<Kept>,
    baselines: BTreeMap<i64, Day>,
}

#[derive(Debug)]
struct Kept {
    shard: Shard,
    etag: Option<String>,
    /// The beginning of the object that was written last.
    beginning: Vec<u8>,
    /// `None` while a run has it. If the run ends without giving it back, the stored state is read
    /// again.
    state: Option<State>,
}

/// The baselines of one day.
#[derive(Debug)]
struct Day {
    shard: Shard,
    etag: Option<String>,
    baselines: Baselines,
    /// Whether it has new baselines that are not written.
    changed: bool,
}

/// An object that could not be read.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("{0}: {1}")]
    Damaged(ObjectUri, Damaged),
    #[error(transparent)]
    Name(#[from] NotAnObject),
}

impl<O: Objects> Store<O> {
    /// Stores all below `root`, or, without one, nothing.
    pub fn new(objects: O, root: Option<ObjectUri>) -> Self {
        let objects = Limited { objects, end: None };
        Self { objects, root, states: "shards", state: None, baselines: BTreeMap::new() }
    }

    /// The same place, with separate states for the shadow. Baselines are made of CPU alone, so
    /// they are shared.
    #[must_use]
    pub fn of_shadow(self) -> Self {
        Self { states: "shadow/shards", ..self }
    }

    /// Stops all calls after `end`.
    pub(crate) fn set_end(&mut self, end: Option<Instant>) {
        self.objects.end = end;
    }

    /// Whether there is an address to store at.
    pub fn keeps(&self) -> bool {
        self.root.is_some()
    }

    fn uri(&self, key: &str) -> Result<Option<ObjectUri>, NotAnObject> {
        self.root
            .as_ref()
            .map(|root| root.beside(&format!("{}/{key}", root.key.trim_end_matches('/'))))
            .transpose()
    }

    /// The state of `shard`, to be [saved](Self::save) again, and how it was loaded.
    pub async fn state(&mut self, shard: Shard) -> (State, Loaded) {
        let known = self.state.take().filter(|kept| kept.shard == shard);
        let known = known.and_then(|kept| Some((kept.etag, kept.state?)));
        let Ok(Some(uri)) = self.uri(&format!("{}/{shard}", self.states)) else {
            let state = known.map(|(_, state)| state).unwrap_or_default();
            self.state = Some(Kept { shard, etag: None, beginning: Vec::new(), state: None });
            return (state, Loaded::InProcess);
        };
        let etag = known.as_ref().and_then(|(etag, _)| etag.as_deref());
        let (etag, state, loaded) = match (self.objects.get(&uri, etag, MAX_BYTES).await, known) {
            (Ok(Fetched::Unchanged), Some((etag, state))) => (etag, state, Loaded::Known),
            (Ok(Fetched::Object { bytes, etag }), known) => {
                // The first load by this process: another division of the fleet may have gone on
                // since.
                let others =
                    if known.is_none() { self.other_states(&uri, shard).await } else { None };
                match State::from_bytes(&bytes) {
                    Ok(mut state) => {
                        self.forget_published(&uri, &bytes, &mut state).await;
                        let resharded = others.is_some();
                        others.into_iter().for_each(|others| state.take_over(others, shard));
                        (etag, state, if resharded { Loaded::Resharded } else { Loaded::Read })
                    }
                    Err(error) => {
                        warn!(%uri, %error, "the state is made anew");
                        // The process has a state that is older than the damaged one, and valid.
                        (
                            etag,
                            known.map(|(_, state)| state).or(others).unwrap_or_default(),
                            Loaded::Damaged,
                        )
                    }
                }
            }
            (Err(ObjectError::Missing { .. }) | Ok(Fetched::Unchanged), known) => match known {
                Some((_, state)) => (None, state, Loaded::Missing),
                None => match self.other_states(&uri, shard).await {
                    Some(state) => (None, state, Loaded::Resharded),
                    None => (None, State::default(), Loaded::Missing),
                },
            },
            (Err(error), known) => {
                warn!(%error, "the state cannot be read");
                let damaged = matches!(error, ObjectError::TooLarge { .. });
                let (etag, state) = known.unwrap_or_default();
                (etag, state, if damaged { Loaded::Damaged } else { Loaded::Unreachable })
            }
        };
        self.state = Some(Kept { shard, etag, beginning: Vec::new(), state: None });
        (state, loaded)
    }

    /// The state in other divisions of the fleet for the instances of `shard`, where they were
    /// written after the object at `own`.
    async fn other_states(&self, own: &ObjectUri, shard: Shard) -> Option<State> {
        let folder = self.uri(self.states).ok()??;
        let listed = self
            .objects
            .list(&folder)
            .await
            .inspect_err(|error| warn!(%error, "no other states"))
            .ok()?;
        let since = listed
            .iter()
            .find(|object| object.uri == *own)
            .map_or(i64::MIN, |object| object.written);
        let division = format!("{}/{}/", folder.key, shard.of());
        let is_state = |key: &str| !key.starts_with(&division) && !key.ends_with(PUBLISHED);
        let others =
            listed.iter().filter(|object| is_state(&object.uri.key) && object.written >= since);
        let mut taken: Option<State> = None;
        for other in others {
            let read = self
                .read(&other.uri, |bytes| {
                    Ok((State::from_bytes(bytes)?, bytes[..BEGINNING].to_vec()))
                })
                .await;
            match read {
                Ok(((mut state, beginning), _)) => {
                    self.forget_published(&other.uri, &beginning, &mut state).await;
                    taken.get_or_insert_default().take_over(state, shard);
                }
                Err(error) => warn!(%error, "another state is left out"),
            }
        }
        taken
    }

    /// Empties the outbox of the state read from `uri` if it was published. Where that is unknown,
    /// it is published again.
    async fn forget_published(&self, uri: &ObjectUri, bytes: &[u8], state: &mut State) {
        if state.outbox.is_empty() && state.alerts.is_empty() {
            return;
        }
        let Ok(marker) = uri.beside(&format!("{}{PUBLISHED}", uri.key)) else { return };
        if let Ok(Fetched::Object { bytes: published, .. }) =
            self.objects.get(&marker, None, BEGINNING).await
            && published.len() == BEGINNING
            && bytes.starts_with(&published)
        {
            state.outbox.clear();
            state.alerts.clear();
        }
    }

    /// Notes that the outbox of the state that was saved is published.
    pub async fn published(&mut self) {
        let Some(Kept { shard, beginning, .. }) = &self.state else { return };
        if beginning.is_empty() {
            return;
        }
        if let Ok(Some(uri)) = self.uri(&format!("{}/{shard}{PUBLISHED}", self.states))
            && let Err(error) = self.objects.put(&uri, Only::Any, beginning.clone()).await
        {
            warn!(%error, "the outbox is not noted as published: another process sends it again");
        }
    }

    async fn read<T>(
        &self,
        uri: &ObjectUri,
        parse: impl Fn(&[u8]) -> Result<T, Damaged>,
    ) -> Result<(T, Option<String>), Unusable> {
        match self.objects.get(uri, None, MAX_BYTES).await? {
            Fetched::Object { bytes, etag } => {
                Ok((parse(&bytes).map_err(|error| Unusable::Damaged(uri.clone(), error))?, etag))
            }
            Fetched::Unchanged => Err(ObjectError::Missing { uri: uri.clone() }.into()),
        }
    }

    /// Writes the state down, unless another run has written one since it was read.
    pub async fn save(&mut self, state: &State) -> Saved {
        let Some(Kept { shard, etag, .. }) = &self.state else { return Saved::No };
        let Ok(Some(uri)) = self.uri(&format!("{}/{shard}", self.states)) else {
            return Saved::Yes;
        };
        let bytes = match state.to_bytes() {
            Ok(bytes) => bytes,
            Err(error) => {
                warn!(%error, "the state cannot be written");
                return Saved::No;
            }
        };
        // Its checksum, to know it again.
        let beginning = bytes[..BEGINNING].to_vec();
        let written = match self.objects.put(&uri, etag.as_deref().into(), bytes).await {
            Ok(written) => written,
            Err(error) => {
                warn!(%error, "the state is not written, or it is not known whether it is");
                return Saved::No;
            }
        };
        let written = match written {
            Some(etag) => Some(etag),
            // It may be our own write, from a try whose answer got lost.
            None => match self.objects.get(&uri, None, MAX_BYTES).await {
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

    /// Loads the baselines of `day`, as far as they can be read. `context` is the number of slots
    /// that a window spans.
    pub async fn open(&mut self, shard: Shard, day: i64, context: usize) {
        let known = self.baselines.remove(&day).filter(|known| known.shard == shard);
        let mut known = known.unwrap_or_else(|| Day {
            shard,
            etag: None,
            baselines: Baselines::default(),
            changed: false,
        });
        if let Ok(Some(uri)) = self.uri(&key(shard, day)) {
            match self.objects.get(&uri, known.etag.as_deref(), MAX_BYTES).await {
                Ok(Fetched::Unchanged) => {}
                Ok(Fetched::Object { bytes, etag }) => {
                    known.etag = etag;
                    match Baselines::from_bytes(&bytes, day, context) {
                        Ok(kept) => known.baselines.take_over(kept, shard),
                        Err(error) => warn!(%uri, %error, "the baselines are made anew"),
                    }
                }
                Err(ObjectError::Missing { .. }) => {
                    known.etag = None;
                    if known.baselines.instances.is_empty() {
                        self.other_baselines(&mut known.baselines, shard, day, context).await;
                    }
                }
                Err(error) => warn!(%error, "the baselines cannot be read"),
            }
        }
        self.baselines.insert(day, known);
    }

    /// Takes over the baselines of other divisions of the fleet.
    async fn other_baselines(
        &self,
        baselines: &mut Baselines,
        shard: Shard,
        day: i64,
        context: usize,
    ) {
        let Ok(Some(folder)) = self.uri(&format!("baselines/{}", date(day))) else { return };
        let listed = match self.objects.list(&folder).await {
            Ok(listed) => listed,
            Err(error) => return warn!(%error, "no other baselines"),
        };
        for other in listed {
            match self.read(&other.uri, |bytes| Baselines::from_bytes(bytes, day, context)).await {
                Ok((others, _)) => baselines.take_over(others, shard),
                Err(error) => warn!(%error, "other baselines are left out"),
            }
        }
    }

    /// Whether [`Self::open`] was called for `day`.
    pub fn is_open(&self, day: i64) -> bool {
        self.baselines.contains_key(&day)
    }

    /// The baseline of `instance` on `day`, or why there is not one.
    pub fn baseline(&self, instance: &InstanceId, day: i64) -> Known<'_> {
        self.baselines.get(&day).map_or(Known::NotYet, |known| known.baselines.known(instance))
    }

    /// Adds a new baseline of an instance. An existing one stays.
    pub fn learn(
        &mut self,
        shard: Shard,
        instance: &InstanceId,
        day: i64,
        baseline: Option<deepguard::Baseline>,
    ) {
        let day = self.baselines.entry(day).or_insert_with(|| Day {
            shard,
            etag: None,
            baselines: Baselines::default(),
            changed: false,
        });
        day.baselines.instances.entry(instance.clone()).or_insert_with(|| {
            day.changed = true;
            baseline
        });
    }

    /// Writes the new baselines, merged with concurrent writes. Gives the number of days that could
    /// not be written.
    pub async fn save_baselines(&mut self, context: usize) -> usize {
        let mut failed = 0;
        let days: Vec<i64> = self.baselines.keys().copied().collect();
        for day in days {
            let Some(mut known) = self.baselines.remove(&day) else { continue };
            if known.changed
                && let Ok(Some(uri)) = self.uri(&key(known.shard, day))
            {
                match self.save_day(&uri, day, &mut known, context).await {
                    Ok(()) => known.changed = false,
                    Err(error) => {
                        failed += 1;
                        warn!(%error, "the baselines are not written: a run makes them again");
                    }
                }
            }
            self.baselines.insert(day, known);
        }
        failed
    }

    async fn save_day(
        &self,
        uri: &ObjectUri,
        day: i64,
        known: &mut Day,
        context: usize,
    ) -> Result<(), Unusable> {
        for _ in 0..TRIES {
            let bytes = known
                .baselines
                .to_bytes(day, context)
                .map_err(|error| Unusable::Damaged(uri.clone(), error))?;
            if let Some(etag) = self.objects.put(uri, known.etag.as_deref().into(), bytes).await? {
                known.etag = Some(etag);
                return Ok(());
            }
            match self.read(uri, |bytes| Baselines::from_bytes(bytes, day, context)).await {
                Ok((others, etag)) => {
                    known.baselines.take_over(others, known.shard);
                    known.etag = etag;
                }
                Err(Unusable::Object(ObjectError::Missing { .. })) => known.etag = None,
                Err(Unusable::Damaged(_, error)) => {
                    warn!(%uri, %error, "damaged baselines are replaced");
                    if let Fetched::Object { etag, .. } =
                        self.objects.get(uri, None, MAX_BYTES).await?
                    {
                        known.etag = etag;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(ObjectError::Missing { uri: uri.clone() }.into())
    }

    /// Forgets the baselines of the days before `day`, where they need not be written any more.
    pub fn forget_baselines(&mut self, day: i64) {
        self.baselines.retain(|&known, _| known >= day);
    }
}

fn key(shard: Shard, day: i64) -> String {
    format!("baselines/{}/{shard}", date(day))
}
