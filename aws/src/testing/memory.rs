//! The outside world of a run, in memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use deepguard::Datapoint;

use crate::alert::Alert;
use crate::ids::{ObjectUri, TargetId};
use crate::metric::Datum;
use crate::ports::{
    Alerts, Batch, CallError, Condition, Cpu, Fetched, Inventory, Listed, ObjectError, Objects,
    Published, Read, Removable, Scores, Sent,
};
use crate::tags::{TagRule, Tags};

fn error(operation: &'static str) -> CallError {
    CallError { operation, why: "said the script".into() }
}

/// The CPU of a fleet, and the datums published about it.
#[derive(Debug, Default)]
pub struct Metrics {
    pub cpu: RefCell<BTreeMap<TargetId, Vec<Datapoint>>>,
    /// Instances that cannot be read.
    pub broken: RefCell<BTreeSet<TargetId>>,
    /// Instances of which every other datapoint is missing when they are read.
    pub partial: RefCell<BTreeSet<TargetId>>,
    pub list_fails: Cell<bool>,
    /// Instances that have stopped too long ago to be listed.
    pub unlisted: RefCell<BTreeSet<TargetId>>,
    /// How many datums are taken before all others fail.
    pub takes: Cell<Option<usize>>,
    /// The reads since this was last emptied.
    pub reads: RefCell<Vec<Batch>>,
    /// The datums published since this was last emptied.
    pub published: RefCell<Vec<Datum>>,
    /// The events sent since this was last emptied.
    pub told: RefCell<Vec<Alert>>,
    /// Whether sending events fails.
    pub deaf: Cell<bool>,
    /// Whether sending events never ends.
    pub hangs: Cell<bool>,
    /// The messages sent since this was last emptied.
    pub notified: RefCell<Vec<Alert>>,
    /// Whether sending messages fails.
    pub unheard: Cell<bool>,
    /// The messages sent to the chat since this was last emptied.
    pub chatted: RefCell<Vec<Alert>>,
    /// Whether sending to the chat fails.
    pub away: Cell<bool>,
    pub tags: RefCell<BTreeMap<TargetId, Tags>>,
    /// Whether reading tags fails.
    pub untagged: Cell<bool>,
}

fn taken(
    alerts: &[&Alert],
    taken: &RefCell<Vec<Alert>>,
    fails: &Cell<bool>,
    operation: &'static str,
) -> Sent {
    let mut sent = Sent::all(alerts.len());
    match fails.get() {
        true => sent.fail(0..alerts.len(), operation, "said the script".into()),
        false => taken.borrow_mut().extend(alerts.iter().copied().cloned()),
    }
    sent
}

impl Alerts for Rc<Metrics> {
    async fn events(&self, alerts: &[&Alert]) -> Sent {
        if self.hangs.get() {
            std::future::pending::<()>().await;
        }
        taken(alerts, &self.told, &self.deaf, "PutEvents")
    }

    async fn messages(&self, alerts: &[&Alert]) -> Sent {
        taken(alerts, &self.notified, &self.unheard, "PublishBatch")
    }

    async fn chats(&self, alerts: &[&Alert]) -> Sent {
        taken(alerts, &self.chatted, &self.away, "PublishBatch")
    }
}

impl Inventory for Rc<Metrics> {
    async fn tagged(&self, rule: &TagRule) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        if self.untagged.get() {
            return Err(error("GetResources"));
        }
        let tags = self.tags.borrow().clone().into_iter();
        Ok(tags.filter(|(_, tags)| rule.holds_for(tags)).collect())
    }

    async fn tags_of(
        &self,
        instances: &BTreeSet<TargetId>,
    ) -> Result<BTreeMap<TargetId, Tags>, CallError> {
        let mut tags = self.tagged(&TagRule::default()).await?;
        tags.retain(|instance, _| instances.contains(instance));
        Ok(tags)
    }
}

impl Cpu for Rc<Metrics> {
    async fn instances(&self) -> Result<BTreeSet<TargetId>, CallError> {
        match self.list_fails.get() {
            true => Err(error("ListMetrics")),
            false => {
                let unlisted = self.unlisted.borrow();
                Ok(self
                    .cpu
                    .borrow()
                    .keys()
                    .filter(|instance| !unlisted.contains(instance))
                    .cloned()
                    .collect())
            }
        }
    }

    async fn read(&self, batch: &Batch) -> Vec<(TargetId, Result<Read, CallError>)> {
        self.reads.borrow_mut().push(batch.clone());
        let read = |instance: &TargetId| {
            if self.broken.borrow().contains(instance) {
                return Err(error("GetMetricData"));
            }
            let within = |datapoint: &&Datapoint| batch.times.contains(&datapoint.time);
            let whole = !self.partial.borrow().contains(instance);
            let cpu = self.cpu.borrow();
            let datapoints = cpu.get(instance).into_iter().flatten().filter(within).copied();
            Ok(Read { datapoints: datapoints.step_by(if whole { 1 } else { 2 }).collect(), whole })
        };
        batch.instances.iter().map(|instance| (instance.clone(), read(instance))).collect()
    }
}

impl Scores for Rc<Metrics> {
    async fn publish(&self, datums: &[Datum]) -> Published {
        let published = self.takes.get().unwrap_or(datums.len()).min(datums.len());
        let failed = datums[published..].to_vec();
        self.published.borrow_mut().extend_from_slice(&datums[..published]);
        let error = (!failed.is_empty()).then(|| error("PutMetricData"));
        Published { published, failed, refused: 0, error }
    }
}

/// A store of objects. The ETag of each is how many were put before it.
#[derive(Debug, Default)]
pub struct Bucket {
    objects: RefCell<BTreeMap<String, (Vec<u8>, String)>>,
    puts: Cell<usize>,
    /// Every request since this was last emptied: the address, and whether the answer had content.
    pub gets: RefCell<Vec<(String, bool)>>,
    /// Whether reading and writing fail.
    pub down: Cell<bool>,
    /// Whether writes succeed and their answers get lost.
    pub mute: Cell<bool>,
    /// The objects that another writer puts, the last of them first, one before each write.
    pub meanwhile: RefCell<Vec<(String, Vec<u8>)>>,
    /// Objects that cannot be written.
    pub locked: RefCell<BTreeSet<String>>,
}

impl Bucket {
    pub fn store(&self, uri: &str, bytes: impl Into<Vec<u8>>) {
        let etag = self.puts.replace(self.puts.get() + 1).to_string();
        self.objects.borrow_mut().insert(uri.into(), (bytes.into(), etag));
    }

    pub fn remove(&self, uri: &str) {
        self.objects.borrow_mut().remove(uri);
    }

    pub fn content(&self, uri: &str) -> Option<Vec<u8>> {
        self.objects.borrow().get(uri).map(|(bytes, _)| bytes.clone())
    }

    pub fn text(&self, uri: &str) -> Option<String> {
        self.content(uri).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    pub fn json(&self, uri: &str) -> serde_json::Value {
        let bytes = self.content(uri).unwrap_or_else(|| panic!("no {uri} in {:?}", self.keys()));
        serde_json::from_slice(&bytes).unwrap()
    }

    pub fn keys(&self) -> Vec<String> {
        self.objects.borrow().keys().cloned().collect()
    }

    fn is_up(&self, uri: &ObjectUri, operation: &'static str) -> Result<(), ObjectError> {
        match self.down.get() {
            true => Err(ObjectError::Call { uri: uri.clone(), error: error(operation) }),
            false => Ok(()),
        }
    }
}

impl Objects for Rc<Bucket> {
    async fn get(
        &self,
        uri: &ObjectUri,
        known: Option<&str>,
        most: usize,
    ) -> Result<Fetched, ObjectError> {
        self.is_up(uri, "GetObject")?;
        let objects = self.objects.borrow();
        let (bytes, etag) = objects
            .get(&uri.to_string())
            .ok_or_else(|| ObjectError::Missing { uri: uri.clone() })?;
        let unchanged = known == Some(etag);
        self.gets.borrow_mut().push((uri.to_string(), !unchanged));
        match unchanged {
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
        self.is_up(uri, "PutObject")?;
        if self.locked.borrow().contains(&uri.to_string()) {
            return Err(ObjectError::Call { uri: uri.clone(), error: error("PutObject") });
        }
        if let Some((other, bytes)) = self.meanwhile.borrow_mut().pop() {
            self.store(&other, bytes);
        }
        let there = self.objects.borrow().get(&uri.to_string()).map(|(_, etag)| etag.clone());
        if condition != Condition::None && Condition::from(there.as_deref()) != condition {
            return Ok(None);
        }
        self.store(&uri.to_string(), bytes);
        match self.mute.get() {
            true => Err(ObjectError::Call { uri: uri.clone(), error: error("PutObject") }),
            false => Ok(self.objects.borrow().get(&uri.to_string()).map(|(_, etag)| etag.clone())),
        }
    }

    async fn list(&self, prefix: &ObjectUri) -> Result<Vec<Listed>, ObjectError> {
        self.is_up(prefix, "ListObjectsV2")?;
        let listed = |(uri, (_, etag)): (&String, &(Vec<u8>, String))| {
            let uri: ObjectUri = uri.parse().ok()?;
            uri.to_string()
                .starts_with(&prefix.to_string())
                .then(|| Listed { uri, written: etag.parse().unwrap() })
        };
        Ok(self.objects.borrow().iter().filter_map(listed).collect())
    }
}

impl Removable for Rc<Bucket> {
    async fn remove(&self, uri: &ObjectUri) -> Result<(), ObjectError> {
        self.is_up(uri, "DeleteObject")?;
        Bucket::remove(self, &uri.to_string());
        Ok(())
    }
}
