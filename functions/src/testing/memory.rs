//! The outside of a run, in memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use deepguard::Datapoint;

use crate::cloudwatch::plan::Batch;
use crate::metric::Datum;
use crate::names::{InstanceId, ObjectUri};
use crate::ports::{CallError, Cpu, Fetched, ObjectError, Objects, Published, Read, Scores};

fn error(operation: &'static str) -> CallError {
    CallError { operation, why: "said the script".into() }
}

/// The CPU of a fleet, and what was published of it.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) cpu: RefCell<BTreeMap<InstanceId, Vec<Datapoint>>>,
    /// Instances that cannot be read.
    pub(crate) broken: RefCell<BTreeSet<InstanceId>>,
    /// Instances of which every other datapoint is missing when they are read.
    pub(crate) partial: RefCell<BTreeSet<InstanceId>>,
    pub(crate) list_fails: Cell<bool>,
    /// How many datums are taken before all others fail.
    pub(crate) takes: Cell<Option<usize>>,
    /// What was read since this was last emptied.
    pub(crate) reads: RefCell<Vec<Batch>>,
    /// What was published since this was last emptied.
    pub(crate) published: RefCell<Vec<Datum>>,
}

impl Cpu for Rc<Metrics> {
    async fn instances(&self) -> Result<BTreeSet<InstanceId>, CallError> {
        match self.list_fails.get() {
            true => Err(error("ListMetrics")),
            false => Ok(self.cpu.borrow().keys().cloned().collect()),
        }
    }

    async fn read(&self, batch: &Batch) -> Vec<(InstanceId, Result<Read, CallError>)> {
        self.reads.borrow_mut().push(batch.clone());
        let read = |instance: &InstanceId| {
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
        let failed = datums.len() - published;
        self.published.borrow_mut().extend_from_slice(&datums[..published]);
        Published { published, failed, error: (failed > 0).then(|| error("PutMetricData")) }
    }
}

/// A store of objects. The ETag of each is how many were put before it.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    objects: RefCell<BTreeMap<String, (Vec<u8>, String)>>,
    puts: Cell<usize>,
    /// Every request since this was last emptied: the address, and whether the answer had content.
    pub(crate) gets: RefCell<Vec<(String, bool)>>,
}

impl Bucket {
    pub(crate) fn put(&self, uri: &str, bytes: impl Into<Vec<u8>>) {
        let etag = self.puts.replace(self.puts.get() + 1).to_string();
        self.objects.borrow_mut().insert(uri.into(), (bytes.into(), etag));
    }
}

impl Objects for Rc<Bucket> {
    async fn get(&self, uri: &ObjectUri, known: Option<&str>, most: usize) -> Result<Fetched, ObjectError> {
        let objects = self.objects.borrow();
        let (bytes, etag) = objects.get(&uri.to_string()).ok_or_else(|| ObjectError::Missing { uri: uri.clone() })?;
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
}
