//! The stored baselines, by day: of each instance one, made once.

use std::collections::BTreeMap;

use deepguard::Baseline;
use deepguard::track::Known;
use deepguard_aws::ids::{ObjectUri, TargetId};
use deepguard_aws::ports::{Fetched, ObjectError, Objects};
use tracing::warn;

use crate::state::baselines::Baselines;
use crate::state::format::MAX_BYTES;
use crate::state::part::Part;
use crate::state::place::{Place, Unusable};
use crate::time::date;

/// The number of tries to merge concurrent writes before giving up.
const TRIES: usize = 4;

/// The baselines of the days that are open, and where they are stored.
#[derive(Debug)]
pub(crate) struct Days<O> {
    place: Place<O>,
    /// By the midnight of the day, in seconds since 1970.
    days: BTreeMap<i64, Day>,
}

/// The baselines of one day.
#[derive(Debug)]
struct Day {
    /// The part of the fleet, as in the key.
    part: String,
    etag: Option<String>,
    baselines: Baselines,
    /// Whether it has new baselines that are not written.
    changed: bool,
}

impl Day {
    fn new(part: &Part) -> Self {
        Self { part: part.to_string(), etag: None, baselines: Baselines::default(), changed: false }
    }
}

impl<O: Objects> Days<O> {
    /// No day is open.
    pub(crate) fn new(place: Place<O>) -> Self {
        Self { place, days: BTreeMap::new() }
    }

    /// Loads the baselines of `day`, as far as they can be read. `context` is the number of slots
    /// that a window spans.
    pub(crate) async fn open(&mut self, part: &Part, day: i64, context: usize) {
        let known = self.days.remove(&day).filter(|known| known.part == part.to_string());
        let mut known = known.unwrap_or_else(|| Day::new(part));
        if let Ok(Some(uri)) = self.place.uri(&key(&known.part, day)) {
            match self.place.objects.get(&uri, known.etag.as_deref(), MAX_BYTES).await {
                Ok(Fetched::Unchanged) => {}
                Ok(Fetched::Object { bytes, etag }) => {
                    known.etag = etag;
                    match Baselines::from_bytes(&bytes, day, context) {
                        Ok(stored) => known.baselines.instances.extend(stored.instances),
                        Err(error) => warn!(%uri, %error, "the baselines are made anew"),
                    }
                }
                Err(ObjectError::Missing { .. }) => {
                    known.etag = None;
                    if known.baselines.instances.is_empty() {
                        self.other_baselines(&mut known.baselines, part, day, context).await;
                    }
                }
                Err(error) => warn!(%error, "the baselines cannot be read"),
            }
        }
        self.days.insert(day, known);
    }

    /// Takes over the baselines of other divisions of the fleet.
    async fn other_baselines(
        &self,
        baselines: &mut Baselines,
        part: &Part,
        day: i64,
        context: usize,
    ) {
        let Ok(Some(folder)) = self.place.uri(&format!("baselines/{}", date(day))) else { return };
        let listed = match self.place.objects.list(&folder).await {
            Ok(listed) => listed,
            Err(error) => return warn!(%error, "no other baselines"),
        };
        for other in listed {
            match self
                .place
                .read(&other.uri, |bytes| Baselines::from_bytes(bytes, day, context))
                .await
            {
                Ok((others, _)) => baselines.take_over(others, part),
                Err(error) => warn!(%error, "other baselines are left out"),
            }
        }
    }

    /// Whether [`Self::open`] was called for `day`.
    pub(crate) fn is_open(&self, day: i64) -> bool {
        self.days.contains_key(&day)
    }

    /// The baseline of `instance` on `day`, or why there is not one.
    pub(crate) fn of(&self, instance: &TargetId, day: i64) -> Known<'_> {
        self.days.get(&day).map_or(Known::NotYet, |known| known.baselines.known(instance))
    }

    /// Adds a new baseline of an instance. An existing one stays.
    pub(crate) fn learn(
        &mut self,
        part: &Part,
        instance: &TargetId,
        day: i64,
        baseline: Option<Baseline>,
    ) {
        let day = self.days.entry(day).or_insert_with(|| Day::new(part));
        day.baselines.instances.entry(instance.clone()).or_insert_with(|| {
            day.changed = true;
            baseline
        });
    }

    /// Writes the new baselines, merged with concurrent writes. Gives the number of days that could
    /// not be written.
    pub(crate) async fn save(&mut self, context: usize) -> usize {
        let mut failed = 0;
        let days: Vec<i64> = self.days.keys().copied().collect();
        for day in days {
            let Some(mut known) = self.days.remove(&day) else { continue };
            if known.changed
                && let Ok(Some(uri)) = self.place.uri(&key(&known.part, day))
            {
                match self.save_day(&uri, day, &mut known, context).await {
                    Ok(()) => known.changed = false,
                    Err(error) => {
                        failed += 1;
                        warn!(%error, "the baselines are not written: a run makes them again");
                    }
                }
            }
            self.days.insert(day, known);
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
            if let Some(etag) =
                self.place.objects.put(uri, known.etag.as_deref().into(), bytes).await?
            {
                known.etag = Some(etag);
                return Ok(());
            }
            match self.place.read(uri, |bytes| Baselines::from_bytes(bytes, day, context)).await {
                Ok((others, etag)) => {
                    known.baselines.instances.extend(others.instances);
                    known.etag = etag;
                }
                Err(Unusable::Object(ObjectError::Missing { .. })) => known.etag = None,
                Err(Unusable::Damaged(_, error)) => {
                    warn!(%uri, %error, "damaged baselines are replaced");
                    if let Fetched::Object { etag, .. } =
                        self.place.objects.get(uri, None, MAX_BYTES).await?
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
    pub(crate) fn forget_before(&mut self, day: i64) {
        self.days.retain(|&known, _| known >= day);
    }
}

/// The key of a day's baselines below the root.
fn key(part: &str, day: i64) -> String {
    format!("baselines/{}/{part}", date(day))
}
