//! The state of a part of the fleet from run to run.
//!
//! A run decides first and publishes then: new scores and their datums are written down before
//! anything is published. So a datapoint that was published once can never get another score,
//! whatever ends a run. Decisions that were perhaps not published are published again, with the
//! same values at the same times.

pub mod band;
pub mod baselines;
pub mod by_group;
pub mod days;
pub mod format;
mod header;
pub mod part;
pub mod place;
pub mod store;
pub mod tally;
pub mod together;

use std::collections::BTreeMap;

use deepguard::Track;
use deepguard::band::Bands;
use deepguard::episode::Episodes;
use deepguard::incident::{Incidents, Labels, Restless, Weekly};
use deepguard::peers::Peers;
use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::{Datum, Of};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::alert::ledger::Ledger;
use crate::alert::pending::Pending;
use crate::alert::together::Together;
use crate::spent::Spent;
use crate::state::by_group::{ByGroup, Judged};
use crate::state::format::{Damaged, Reader, Writer};
use crate::state::header::{EarlierHeader, StateHeader, or_default};
use crate::state::part::Part;
use crate::state::tally::Tally;
use crate::watched::roster::StoredTags;

/// The state of a shard between runs, as it is stored.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Checksum of the artifact that scored: the state of the instances is as that artifact sees
    /// them.
    pub model: String,
    /// Each followed instance.
    pub instances: BTreeMap<TargetId, Followed>,
    /// Datums that were decided, and perhaps not published.
    pub outbox: Vec<Datum>,
    /// Alerts that were decided, and perhaps not sent.
    pub alerts: Vec<Pending>,
    /// The numbers of the fleet at each time of the last hours.
    pub tally: Tally,
    /// The incidents, and the page level.
    pub incidents: Incidents<TargetId>,
    /// The incidents since the last digest.
    pub ledger: Ledger,
    /// The tags that name groups.
    pub tags: StoredTags,
    /// The digests of this part of a divided fleet.
    pub together: Together,
    /// What the function has used in this month.
    pub spent: Spent,
}

/// The state of one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Followed {
    /// The state that scoring needs.
    pub track: Track,
    /// All older datapoints were scored, in seconds since 1970.
    pub watermark: i64,
    /// The end of the time that was last read, in seconds since 1970.
    pub looked: i64,
    /// How many scores are still to be published, whatever their values.
    pub tail: u8,
    /// Its episodes, as they were reported.
    pub episodes: Episodes,
    /// The bands of its newest datapoints that may still be published.
    #[serde(deserialize_with = "or_default")]
    pub bands: Bands,
    /// Its group's judgement, as long as its own history is short.
    #[serde(deserialize_with = "or_default")]
    pub by_group: Option<ByGroup>,
    /// How it differs from its group.
    #[serde(deserialize_with = "or_default")]
    pub peers: Peers,
    /// Its group's judgement of the day before, for datapoints that come late.
    #[serde(deserialize_with = "or_default")]
    pub eve: Option<Judged>,
}

impl Followed {
    /// Whether its usual errors are still being learnt. Those of a group are known.
    pub fn is_young(&self) -> bool {
        let by_group = self.by_group.as_ref().is_some_and(|known| known.judged.is_some());
        !by_group && self.track.is_young()
    }
}

impl State {
    /// The stored form: see [`crate::state::format`]. The same state gives the same bytes.
    ///
    /// # Errors
    /// Where it has no binary form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Damaged> {
        self.to_bytes_by(0)
    }

    /// The same, as the process with this number writes it.
    pub(crate) fn to_bytes_by(&self, writer: u64) -> Result<Vec<u8>, Damaged> {
        let earlier = EarlierHeader {
            model: self.model.clone(),
            instances: self.instances.len() as u64,
            outbox: self.outbox.clone(),
            worded: Vec::new(),
            tally: self.tally.clone(),
        };
        let chats = (0..).zip(&self.alerts).filter(|(_, alert)| alert.unsent.chat);
        let mut writer = Writer::new(&StateHeader {
            earlier,
            alerts: self.alerts.clone(),
            incidents: self.incidents.clone(),
            ledger: self.ledger.clone(),
            chats: chats.map(|(position, _)| position).collect(),
            labels: self.incidents.labels().clone(),
            writer,
            tags: self.tags.clone(),
            together: self.together.clone(),
            spent: self.spent.clone(),
            restless: self.incidents.restless().clone(),
            weekly: self.incidents.weekly().clone(),
            begun: self.incidents.begun(),
        })?;
        self.instances.iter().try_for_each(|instance| writer.record(&instance))?;
        writer.finish()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Damaged> {
        let (header, mut reader) = match Reader::open(bytes) {
            // The header of an earlier build ends before the alerts.
            Err(Damaged::Record(_)) => {
                let (earlier, reader) = Reader::open(bytes)?;
                let header = StateHeader {
                    earlier,
                    alerts: Vec::new(),
                    incidents: Incidents::default(),
                    ledger: Ledger::default(),
                    chats: Vec::new(),
                    labels: Labels::default(),
                    writer: 0,
                    tags: StoredTags::default(),
                    together: Together::default(),
                    spent: Spent::default(),
                    restless: Restless::default(),
                    weekly: Weekly::default(),
                    begun: None,
                };
                (header, reader)
            }
            opened => opened?,
        };
        let StateHeader {
            earlier,
            mut alerts,
            mut incidents,
            ledger,
            chats,
            labels,
            writer: _,
            tags,
            together,
            spent,
            restless,
            weekly,
            begun,
        } = header;
        *incidents.labels_mut() = labels;
        *incidents.restless_mut() = restless;
        *incidents.weekly_mut() = weekly;
        *incidents.begun_mut() = begun;
        let EarlierHeader { model, instances: count, outbox, worded, tally } = earlier;
        if !worded.is_empty() {
            let alerts = worded.len();
            warn!(alerts, "the alerts of an earlier build, perhaps unsent, are left out");
        }
        for position in chats {
            if let Some(alert) = alerts.get_mut(position as usize) {
                alert.unsent.chat = true;
            }
        }
        let mut instances = BTreeMap::new();
        while let Some((instance, followed)) = reader.record()? {
            instances.insert(instance, followed);
            if instances.len() as u64 > count {
                return Err(Damaged::Record(format!("it has more than its {count} instances")));
            }
        }
        match instances.len() as u64 == count {
            true => Ok(Self {
                model,
                instances,
                outbox,
                alerts,
                tally,
                incidents,
                ledger,
                tags,
                together,
                spent,
            }),
            false => {
                Err(Damaged::Record(format!("it has {} of {count} instances", instances.len())))
            }
        }
    }

    /// The progress of each instance: it changes whenever a run finds something new.
    pub fn marks(&self) -> Vec<(i64, i64)> {
        self.instances.values().map(|followed| (followed.watermark, followed.looked)).collect()
    }

    /// Takes over the instances of `part` from another state, which another division of the fleet
    /// stored. For each instance the state that is further ahead wins.
    pub fn take_over(&mut self, other: Self, part: &Part) {
        if self.instances.is_empty() {
            self.model.clone_from(&other.model);
        }
        if self.model != other.model {
            return;
        }
        for (instance, followed) in other.instances {
            let newer = |known: &Followed| {
                (known.watermark, known.looked) < (followed.watermark, followed.looked)
            };
            if part.holds(&instance) && self.instances.get(&instance).is_none_or(newer) {
                self.instances.insert(instance, followed);
            }
        }
        let is_ours =
            |datum: &Datum| matches!(&datum.of, Of::Instance(instance) if part.holds(instance));
        let outbox =
            other.outbox.into_iter().filter(|datum| is_ours(datum) && !self.outbox.contains(datum));
        let outbox: Vec<Datum> = outbox.collect();
        self.outbox.extend(outbox);
        self.ledger.take_over(other.ledger, |instance| part.holds(instance));
        self.together.take_over(other.together, |instance| part.holds(instance));
        self.incidents.take_over(other.incidents, |instance| part.holds(instance));
        for alert in other.alerts.into_iter().filter(|alert| part.holds(&alert.instance)) {
            match self.alerts.iter_mut().find(|known| known.is_same(&alert)) {
                Some(known) => known.unsent = known.unsent.and(alert.unsent),
                None => self.alerts.push(alert),
            }
        }
    }

    /// Forgets the state of another model than `model`. Scored datapoints stay scored.
    pub fn seen_by(&mut self, model: &str) {
        if self.model != model {
            for followed in self.instances.values_mut() {
                (followed.track, followed.by_group) = (Track::default(), None);
                followed.eve = None;
                followed.peers = Peers::default();
            }
            self.model = model.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use deepguard_aws::metric::Metric;

    use super::*;
    use crate::testing::{instance, scored};
    use crate::trigger::shard::Shard;

    fn followed(watermark: i64) -> Followed {
        Followed {
            track: Track::default(),
            watermark,
            looked: watermark,
            tail: 0,
            episodes: Episodes::default(),
            bands: Bands::default(),
            by_group: None,
            peers: Peers::default(),
            eve: None,
        }
    }

    fn datum(number: usize) -> Datum {
        Datum {
            metric: Metric::AnomalyScore,
            of: Of::Instance(instance(number)),
            time: 300,
            value: 1.5,
        }
    }

    fn alert(number: usize) -> Pending {
        crate::testing::pending(number, 300)
    }

    fn state(numbers: &[usize], watermark: i64) -> State {
        let mut tally = Tally::default();
        tally.add(&scored(300, 1.5));
        State {
            model: "one".into(),
            instances: numbers
                .iter()
                .map(|&number| (instance(number), followed(watermark)))
                .collect(),
            outbox: numbers.iter().map(|&number| datum(number)).collect(),
            alerts: numbers.iter().map(|&number| alert(number)).collect(),
            tally,
            ..State::default()
        }
    }

    #[test]
    fn there_and_back() {
        for state in [State::default(), state(&[1, 2, 3], 600)] {
            let bytes = state.to_bytes().unwrap();
            assert_eq!(State::from_bytes(&bytes).unwrap(), state);
            assert_eq!(state.to_bytes().unwrap(), bytes);
        }
        assert_eq!(State::from_bytes(b"<html>"), Err(Damaged::Foreign));
    }

    #[test]
    fn an_earlier_build_reads_an_instance_with_bands() {
        let mut followed = followed(600);
        followed.bands.take_in(&scored(300, 0.5), false);
        let record = postcard::to_allocvec(&followed).unwrap();
        // Its fields before there were bands.
        type Earlier = (Track, i64, i64, u8, Episodes);
        let (track, watermark, looked, tail, episodes): Earlier =
            postcard::from_bytes(&record).unwrap();
        let bands = followed.bands.clone();
        assert_eq!(
            Followed {
                track,
                watermark,
                looked,
                tail,
                episodes,
                bands,
                by_group: None,
                peers: Peers::default(),
                eve: None,
            },
            followed
        );
    }

    #[test]
    fn another_division_of_the_fleet_loses_nothing() {
        let all: Vec<usize> = (0..50).collect();
        let whole = state(&all, 600);
        let part = |shard| Part::by_instance(Shard::new(shard, 4).unwrap());
        let parts: Vec<Part> = (0..4).map(part).collect();
        let mut back = State::default();
        let (mut outbox, mut alerts) = (0, 0);
        for part in parts {
            let mut state = State::default();
            state.take_over(whole.clone(), &part);
            state.take_over(whole.clone(), &part);
            assert!(state.instances.keys().all(|instance| part.holds(instance)));
            outbox += state.outbox.len();
            assert!(state.alerts.iter().all(|alert| part.holds(&alert.instance)));
            alerts += state.alerts.len();
            state.instances.values_mut().for_each(|followed| followed.watermark = 900);
            back.take_over(state, &Part::WHOLE);
        }
        assert_eq!(
            (outbox, alerts),
            (whole.outbox.len(), whole.alerts.len()),
            "each is in one of the parts"
        );
        // The state of the parts is newer than that of the whole.
        back.take_over(whole, &Part::WHOLE);
        assert_eq!(
            back.instances,
            state(&all, 600)
                .instances
                .into_iter()
                .map(|(instance, followed)| { (instance, Followed { watermark: 900, ..followed }) })
                .collect()
        );
    }

    #[test]
    fn another_model_forgets_what_it_did_not_see_and_not_what_was_scored() {
        let mut seen = state(&[1], 600);
        seen.seen_by("one");
        assert_eq!(seen, state(&[1], 600));
        seen.seen_by("two");
        assert_eq!((seen.model.as_str(), seen.instances[&instance(1)].watermark), ("two", 600));
        let mut other = State { model: "two".into(), ..state(&[2], 600) };
        other.take_over(state(&[3], 600), &Part::WHOLE);
        assert_eq!(other.instances.len(), 1, "a record of another model is of no use");
    }
}
