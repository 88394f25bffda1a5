//! ListMetrics and GetMetricData: the instances, and their CPU.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, DimensionFilter, MessageData, Metric, MetricDataQuery, MetricDataResult, MetricStat,
    RecentlyActive, ScanBy, StatusCode,
};
use deepguard::Datapoint;
use deepguard::series::PERIOD;
use tracing::{debug, warn};

use super::CloudWatch;
use crate::ids::{TargetDimension, TargetId};
use crate::pagination::Pages;
use crate::ports::{Batch, CallError, Cpu, Read};

const LIST: &str = "ListMetrics";
const GET: &str = "GetMetricData";
/// The metric that is read.
const NAMESPACE: &str = "AWS/EC2";
const METRIC: &str = "CPUUtilization";
const STATISTIC: &str = "Average";

impl Cpu for CloudWatch {
    fn share(&self, parts: u32) {
        self.pace.share(parts);
    }

    async fn instances(&self) -> Result<BTreeSet<TargetId>, CallError> {
        let mut found = BTreeSet::new();
        for dimension in self.targets.dimensions() {
            self.list(*dimension, &mut found).await?;
        }
        Ok(found)
    }

    async fn read(&self, batch: &Batch) -> Vec<(TargetId, Result<Read, CallError>)> {
        let answers = self.read_pages(batch).await;
        let answer = |(index, instance): (usize, &TargetId)| {
            let datapoints = match &answers {
                Ok(answers) => answers.get(&id(index)).map_or_else(
                    || {
                        Err(CallError {
                            operation: GET,
                            why: "the answer left this instance out".into(),
                        })
                    },
                    Answer::read,
                ),
                Err(error) => Err(error.clone()),
            };
            (instance.clone(), datapoints)
        };
        batch.instances.iter().enumerate().map(answer).collect()
    }
}

impl CloudWatch {
    /// Adds the targets with this dimension to `found`.
    async fn list(
        &self,
        dimension: TargetDimension,
        found: &mut BTreeSet<TargetId>,
    ) -> Result<(), CallError> {
        let mut pages = Pages::of(LIST);
        loop {
            let request = self
                .client
                .list_metrics()
                .namespace(NAMESPACE)
                .metric_name(METRIC)
                .dimensions(DimensionFilter::builder().name(dimension.name()).build())
                .recently_active(RecentlyActive::Pt3H)
                .set_next_token(pages.token());
            let page = self.paced(0, LIST, || request.clone().send()).await?;
            found.extend(page.metrics().iter().filter_map(|metric| target(dimension, metric)));
            if pages.end_with(page.next_token)? {
                return Ok(());
            }
        }
    }

    /// The merged answers of all pages, by id.
    async fn read_pages(&self, batch: &Batch) -> Result<HashMap<String, Answer>, CallError> {
        let Range { start, end } = batch.times;
        let queries: Vec<MetricDataQuery> = batch
            .instances
            .iter()
            .enumerate()
            .map(|(index, instance)| query(index, instance))
            .collect();
        let mut answers: HashMap<String, Answer> = HashMap::new();
        let mut pages = Pages::of(GET);
        loop {
            let request = self
                .client
                .get_metric_data()
                .set_metric_data_queries(Some(queries.clone()))
                .start_time(DateTime::from_secs(start))
                .end_time(DateTime::from_secs(end))
                .scan_by(ScanBy::TimestampAscending)
                .set_next_token(pages.token());
            let page = self.paced(batch.datapoints(), GET, || request.clone().send()).await?;
            page.messages()
                .iter()
                .for_each(|message| warn!(message = told(message), "GetMetricData sent a message"));
            for result in page.metric_data_results.unwrap_or_default() {
                answers.entry(result.id().unwrap_or_default().into()).or_default().merge(result);
            }
            if pages.end_with(page.next_token)? {
                return Ok(answers);
            }
        }
    }
}

/// The target of a metric that has exactly this one dimension: with more dimensions it is another
/// metric.
fn target(of: TargetDimension, metric: &Metric) -> Option<TargetId> {
    let [dimension] = metric.dimensions() else { return None };
    let value = dimension.value().filter(|_| dimension.name() == Some(of.name()))?;
    let target = TargetId::of_dimension(of, value);
    target.inspect_err(|error| warn!(%error, "a metric is left out")).ok()
}

fn id(index: usize) -> String {
    format!("m{index}")
}

fn query(index: usize, instance: &TargetId) -> MetricDataQuery {
    let (dimension, value) = instance.dimension();
    let dimension = Dimension::builder().name(dimension.name()).value(value).build();
    let metric =
        Metric::builder().namespace(NAMESPACE).metric_name(METRIC).dimensions(dimension).build();
    let stat = MetricStat::builder().metric(metric).period(PERIOD as i32).stat(STATISTIC).build();
    MetricDataQuery::builder().id(id(index)).metric_stat(stat).build()
}

fn told(message: &MessageData) -> String {
    format!("{}: {}", message.code().unwrap_or("no code"), message.value().unwrap_or("no text"))
}

/// The merged answer to one query.
#[derive(Debug, Default)]
struct Answer {
    datapoints: Vec<Datapoint>,
    /// The status on the last page that had this query.
    status: Option<StatusCode>,
    messages: Vec<String>,
}

impl Answer {
    fn merge(&mut self, result: MetricDataResult) {
        let points = result.timestamps().iter().zip(result.values());
        self.datapoints.extend(points.map(|(time, &value)| Datapoint { time: time.secs(), value }));
        self.messages.extend(result.messages().iter().map(told));
        if result.timestamps().len() != result.values().len() {
            self.messages.push("it has not as many values as time stamps".into());
            self.status = Some(StatusCode::InternalError);
        } else if result.status_code.is_some() {
            self.status = result.status_code;
        }
    }

    fn read(&self) -> Result<Read, CallError> {
        match &self.status {
            Some(status @ (StatusCode::Forbidden | StatusCode::InternalError)) => {
                let why = format!("its result is {status}: {}", self.messages.join("; "));
                Err(CallError { operation: GET, why })
            }
            status => {
                let whole = *status != Some(StatusCode::PartialData);
                if !self.messages.is_empty() {
                    warn!(messages = self.messages.join("; "), "a result came with messages");
                }
                if !whole {
                    debug!("a result is not complete");
                }
                Ok(Read { datapoints: self.datapoints.clone(), whole })
            }
        }
    }
}

#[cfg(test)]
mod tests;
