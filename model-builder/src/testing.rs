//! Helpers for several tests: a bucket and a fleet in memory, and artifacts that differ.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use deepguard::model::device;
use deepguard::{Artifact, Datapoint};
use deepguard_aws::ids::{InstanceId, ObjectUri};
use deepguard_aws::ports::{
    Batch, CallError, Condition, Cpu, Fetched, Listed, ObjectError, Objects, Read, Removable,
};

/// The artifact that is compiled in.
pub(crate) fn artifact() -> Artifact {
    Artifact::from_bytes(deepguard::model::artifact::BUILTIN).unwrap()
}

/// The same network with another threshold: another artifact.
pub(crate) fn artifact_with_threshold(threshold: f64) -> Artifact {
    let artifact = artifact();
    let card = artifact.card().clone();
    let weights = artifact.network(&device()).weights();
    Artifact::new(card.shape, weights, threshold, card.borrowed_usual, card.growth, card.training)
        .unwrap()
}

/// The instance with this number.
pub(crate) fn instance(number: usize) -> InstanceId {
    format!("i-{number:017x}").parse().unwrap()
}

/// A store of objects. The ETag of each is how many were put before it.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    objects: RefCell<BTreeMap<String, (Vec<u8>, String)>>,
    puts: Cell<usize>,
    /// The content that another writer puts before the next write.
    pub(crate) meanwhile: RefCell<Vec<(String, Vec<u8>)>>,
    /// Keys that cannot be written.
    pub(crate) locked: RefCell<BTreeSet<String>>,
}

impl Bucket {
    pub(crate) fn store(&self, uri: &str, bytes: impl Into<Vec<u8>>) {
        let etag = self.puts.replace(self.puts.get() + 1).to_string();
        self.objects.borrow_mut().insert(uri.into(), (bytes.into(), etag));
    }

    pub(crate) fn text(&self, uri: &str) -> Option<String> {
        let objects = self.objects.borrow();
        objects.get(uri).map(|(bytes, _)| String::from_utf8_lossy(bytes).into_owned())
    }

    pub(crate) fn json(&self, uri: &str) -> serde_json::Value {
        serde_json::from_str(
            &self.text(uri).unwrap_or_else(|| panic!("no {uri} in {:?}", self.keys())),
        )
        .unwrap()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.objects.borrow().keys().cloned().collect()
    }
}

impl Objects for Bucket {
    async fn get(
        &self,
        uri: &ObjectUri,
        known: Option<&str>,
        most: usize,
    ) -> Result<Fetched, ObjectError> {
        let objects = self.objects.borrow();
        let (bytes, etag) = objects
            .get(&uri.to_string())
            .ok_or_else(|| ObjectError::Missing { uri: uri.clone() })?;
        match known == Some(etag) {
            true => Ok(Fetched::Unchanged),
            false if bytes.len() > most => {
                Err(ObjectError::TooLarge { uri: uri.clone(), bytes: bytes.len() as u64, most })
            }
            false => Ok(Fetched::Object { bytes: bytes.clone(), etag: Some(etag.clone()) }),
        }
    }

    async fn put(
        &self,
        uri: &ObjectUri,
        condition: Condition<'_>,
        bytes: Vec<u8>,
    ) -> Result<Option<String>, ObjectError> {
        if self.locked.borrow().contains(&uri.to_string()) {
            let error =
                CallError { operation: "PutObject", why: "AccessDenied: said the script".into() };
            return Err(ObjectError::Call { uri: uri.clone(), error });
        }
        if let Some((other, bytes)) = self.meanwhile.borrow_mut().pop() {
            self.store(&other, bytes);
        }
        let there = self.objects.borrow().get(&uri.to_string()).map(|(_, etag)| etag.clone());
        if condition != Condition::None && Condition::from(there.as_deref()) != condition {
            return Ok(None);
        }
        self.store(&uri.to_string(), bytes);
        Ok(self.objects.borrow().get(&uri.to_string()).map(|(_, etag)| etag.clone()))
    }

    async fn list(&self, _prefix: &ObjectUri) -> Result<Vec<Listed>, ObjectError> {
        Ok(Vec::new())
    }
}

impl Removable for Bucket {
    async fn remove(&self, uri: &ObjectUri) -> Result<(), ObjectError> {
        self.objects.borrow_mut().remove(&uri.to_string());
        Ok(())
    }
}

/// The CPU of a fleet.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) cpu: BTreeMap<InstanceId, Vec<Datapoint>>,
    /// Instances that cannot be read.
    pub(crate) broken: BTreeSet<InstanceId>,
    /// Instances that have stopped too long ago to be listed.
    pub(crate) unlisted: BTreeSet<InstanceId>,
}

impl Cpu for Fleet {
    async fn instances(&self) -> Result<BTreeSet<InstanceId>, CallError> {
        Ok(self.cpu.keys().filter(|instance| !self.unlisted.contains(instance)).cloned().collect())
    }

    async fn read(&self, batch: &Batch) -> Vec<(InstanceId, Result<Read, CallError>)> {
        let read = |instance: &InstanceId| {
            if self.broken.contains(instance) {
                return Err(CallError {
                    operation: "GetMetricData",
                    why: "said the script".into(),
                });
            }
            let within = |datapoint: &&Datapoint| batch.times.contains(&datapoint.time);
            let datapoints =
                self.cpu.get(instance).into_iter().flatten().filter(within).copied().collect();
            Ok(Read { datapoints, whole: true })
        };
        batch.instances.iter().map(|instance| (instance.clone(), read(instance))).collect()
    }
}
