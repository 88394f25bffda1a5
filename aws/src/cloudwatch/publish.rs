//! PutMetricData: publishes the scores.

use aws_sdk_cloudwatch::operation::RequestId;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use futures_util::{StreamExt, stream};

use super::limits::LARGEST_VALUE;
use super::{CloudWatch, plan};
use crate::client::{failed, is_refused};
use crate::metric::{Datum, Unit};
use crate::ports::{CallError, Published, Scores};

const PUT: &str = "PutMetricData";
/// Calls that are under way at once.
const AT_ONCE: usize = 4;

impl Scores for CloudWatch {
    async fn publish(&self, datums: &[Datum]) -> Published {
        let (usable, unusable): (Vec<Datum>, Vec<Datum>) =
            datums.iter().cloned().partition(|datum| datum.value.abs() <= LARGEST_VALUE);
        let mut published = Published { refused: unusable.len(), ..Published::default() };
        published.error = unusable.first().map(|datum| CallError {
            operation: PUT,
            why: format!(
                "{} is {}, which CloudWatch does not take",
                datum.metric.name(),
                datum.value
            ),
        });
        let mut puts =
            stream::iter(plan::puts(&usable)).map(|datums| self.put(datums)).buffered(AT_ONCE);
        while let Some(put) = puts.next().await {
            published.published += put.published;
            published.failed.extend(put.failed);
            published.refused += put.refused;
            published.error = put.error.or(published.error);
        }
        published
    }
}

impl CloudWatch {
    /// Publishes the datums of one call. Where CloudWatch refuses a datum, publishes all but that
    /// one.
    async fn put(&self, datums: &[Datum]) -> Published {
        let mut published = Published::default();
        let mut parts = vec![datums];
        while let Some(part) = parts.pop() {
            let data = part.iter().map(metric_datum).collect();
            let request = self
                .client
                .put_metric_data()
                .namespace(&self.namespace)
                .set_metric_data(Some(data));
            match request.send().await {
                Ok(answer) if answer.request_id().is_some() => published.published += part.len(),
                // The SDK checks nothing else, as the answer has no content: a proxy's page would
                // look the same.
                Ok(_) => {
                    let why = "the answer has no request id: the endpoint is not CloudWatch".into();
                    published.error = Some(CallError { operation: PUT, why });
                    published.failed.extend_from_slice(part);
                }
                Err(error) => {
                    published.error = Some(failed(PUT, &error));
                    match part.len() {
                        1 if is_refused(&error) => published.refused += 1,
                        2.. if is_refused(&error) => {
                            parts.extend(<[_; 2]>::from(part.split_at(part.len() / 2)))
                        }
                        _ => published.failed.extend_from_slice(part),
                    }
                }
            }
        }
        published
    }
}

fn metric_datum(datum: &Datum) -> MetricDatum {
    let unit = match datum.metric.unit() {
        Unit::None => StandardUnit::None,
        Unit::Percent => StandardUnit::Percent,
        Unit::Count => StandardUnit::Count,
        Unit::Seconds => StandardUnit::Seconds,
    };
    let dimension =
        datum.dimension().map(|(name, value)| Dimension::builder().name(name).value(value).build());
    MetricDatum::builder()
        .metric_name(datum.metric.name())
        .set_dimensions(dimension.map(|dimension| vec![dimension]))
        .timestamp(DateTime::from_secs(datum.time))
        .value(datum.value)
        .unit(unit)
        .build()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::metric::{Metric, Of};
    use crate::testing::instance;
    use crate::testing::scripted::{Scripted, answer, error};

    fn datum(number: usize, value: f64) -> Datum {
        Datum {
            metric: Metric::ReconstructionError,
            of: Of::Instance(instance(number)),
            time: 1_768_478_400,
            value,
        }
    }

    fn datums(count: usize) -> Vec<Datum> {
        (0..count).map(|number| datum(number, std::f64::consts::PI)).collect()
    }

    async fn put(answers: usize) -> Scripted {
        Scripted::new([(PUT, vec![answer(json!({})); answers])]).await
    }

    fn sizes(requests: &[Value]) -> Vec<usize> {
        requests.iter().map(|request| request["MetricData"].as_array().unwrap().len()).collect()
    }

    #[tokio::test]
    async fn a_datum_says_what_whose_when_and_how_much() {
        let aws = put(1).await;
        let of_fleet =
            Datum { metric: Metric::InstancesScored, of: Of::Fleet, time: 300, value: 2.0 };
        let of_one = Datum {
            metric: Metric::AnomalyScore,
            of: Of::Instance(instance(7)),
            time: 600,
            value: 0.5,
        };
        aws.cloudwatch(false).publish(&[of_fleet, of_one]).await;
        let expected = json!({ "Namespace": "DeepGuard", "MetricData": [
            { "MetricName": "InstancesScored", "Timestamp": { "$time": 300 }, "Value": 2.0,
                "Unit": "Count" },
            { "MetricName": "AnomalyScore", "Timestamp": { "$time": 600 }, "Value": 0.5,
                "Unit": "None",
                "Dimensions": [{ "Name": "InstanceId", "Value": instance(7).as_str() }] },
        ] });
        assert_eq!(aws.requests(PUT).await, [expected]);
    }

    #[tokio::test]
    async fn calls_keep_to_the_limits() {
        for (count, expected) in [
            (0, Vec::<usize>::new()),
            (1000, vec![1000]),
            (1001, vec![1000, 1]),
            (2500, vec![1000, 1000, 500]),
        ] {
            let aws = put(expected.len()).await;
            let published = aws.cloudwatch(false).publish(&datums(count)).await;
            assert_eq!(published, Published { published: count, ..Published::default() });
            let mut sizes = sizes(&aws.requests(PUT).await);
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(sizes, expected);
            let planned: usize = plan::puts(&datums(count)).flatten().map(plan::datum_bytes).sum();
            let sent: usize =
                aws.raw_requests().await.iter().map(|request| request.body.len()).sum();
            assert!(sent <= planned + 500 * expected.len(), "{sent} bytes instead of {planned}");
        }
    }

    #[tokio::test]
    async fn a_large_call_is_compressed() {
        let aws = put(1).await;
        aws.cloudwatch(true).publish(&datums(1000)).await;
        let requests = aws.raw_requests().await;
        assert_eq!(requests[0].headers["content-encoding"], "gzip");
        assert!(requests[0].body.len() < 50_000, "{} bytes", requests[0].body.len());
    }

    #[tokio::test]
    async fn values_that_cloudwatch_refuses_are_left_out() {
        let aws = put(1).await;
        let values =
            [f64::NAN, 1.0, f64::INFINITY, f64::NEG_INFINITY, LARGEST_VALUE, -LARGEST_VALUE * 2.0];
        let published = aws.cloudwatch(false).publish(&values.map(|value| datum(0, value))).await;
        assert_eq!((published.published, published.refused), (2, 4));
        assert!(published.error.unwrap().to_string().contains("ReconstructionError is NaN"));
        assert_eq!(sizes(&aws.requests(PUT).await), [2]);
    }

    #[tokio::test]
    async fn a_put_that_failed_does_not_keep_the_others() {
        let broken = || error(403, "AccessDenied");
        let aws =
            Scripted::new([(PUT, vec![answer(json!({})), broken(), answer(json!({}))])]).await;
        let published = aws.cloudwatch(false).publish(&datums(2001)).await;
        assert_eq!((published.published + published.failed.len(), published.refused), (2001, 0));
        // Calls are under way at once: it is one of the three that failed. Its datums may be
        // published another time.
        let all = datums(2001);
        assert!(
            plan::puts(&all).any(|put| put == published.failed),
            "{} datums",
            published.failed.len()
        );
        assert!(published.error.unwrap().to_string().contains("AccessDenied: said the script"));
    }

    #[tokio::test]
    async fn a_datum_that_is_refused_does_not_keep_the_others() {
        let refused = || error(400, "InvalidParameterValue");
        let taken = || answer(json!({}));
        // All 5; the last 3; the last 2; of these the first; the first 2.
        let aws =
            Scripted::new([(PUT, vec![refused(), taken(), refused(), refused(), taken()])]).await;
        let published = aws.cloudwatch(false).publish(&datums(5)).await;
        assert_eq!((published.published, published.refused, published.failed), (4, 1, vec![]));
        assert_eq!(sizes(&aws.requests(PUT).await), [5, 3, 2, 1, 1]);
        assert!(
            published.error.unwrap().to_string().contains("InvalidParameterValue: said the script")
        );
    }
}
