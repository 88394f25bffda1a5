//! PutMetricData: what the scores become.

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};

use super::CloudWatch;
use super::limits::{DATUMS_PER_PUT, LARGEST_VALUE};
use crate::aws::failed;
use crate::metric::{DIMENSION, Datum, Unit};
use crate::ports::{CallError, Published, Scores};

const PUT: &str = "PutMetricData";

impl Scores for CloudWatch {
    async fn publish(&self, datums: &[Datum]) -> Published {
        // One value that CloudWatch refuses would cost the whole call.
        let (usable, unusable): (Vec<&Datum>, Vec<&Datum>) =
            datums.iter().partition(|datum| datum.value.abs() <= LARGEST_VALUE);
        let refused = unusable.first().map(|datum| CallError {
            operation: PUT,
            why: format!("{} is {}, which CloudWatch does not take", datum.metric.name(), datum.value),
        });
        let mut published = Published { published: 0, failed: unusable.len(), error: refused };
        for datums in usable.chunks(DATUMS_PER_PUT) {
            let data = datums.iter().map(|datum| metric_datum(datum)).collect();
            let request = self.client.put_metric_data().namespace(&self.namespace).set_metric_data(Some(data));
            match request.send().await {
                Ok(_) => published.published += datums.len(),
                Err(error) => {
                    published.failed += datums.len();
                    published.error = Some(failed(PUT, &error));
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
    };
    let dimension =
        datum.instance.as_ref().map(|instance| Dimension::builder().name(DIMENSION).value(instance.as_str()).build());
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
    use crate::metric::Metric;
    use crate::testing::instance;
    use crate::testing::scripted::{Scripted, answer, error};

    fn datum(number: usize, value: f64) -> Datum {
        Datum { metric: Metric::ReconstructionError, instance: Some(instance(number)), time: 1_768_478_400, value }
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
        let of_fleet = Datum { metric: Metric::InstancesScored, instance: None, time: 300, value: 2.0 };
        let of_one = Datum { metric: Metric::AnomalyScore, instance: Some(instance(7)), time: 600, value: 0.5 };
        aws.cloudwatch(false).publish(&[of_fleet, of_one]).await;
        let expected = json!({ "Namespace": "DeepGuard", "MetricData": [
            { "MetricName": "InstancesScored", "Timestamp": { "$time": 300 }, "Value": 2.0, "Unit": "Count" },
            { "MetricName": "AnomalyScore", "Timestamp": { "$time": 600 }, "Value": 0.5, "Unit": "None",
                "Dimensions": [{ "Name": "InstanceId", "Value": instance(7).as_str() }] },
        ] });
        assert_eq!(aws.requests(PUT).await, [expected]);
    }

    #[tokio::test]
    async fn calls_keep_to_the_limits() {
        for (count, expected) in [(0, vec![]), (1000, vec![1000]), (1001, vec![1000, 1]), (2500, vec![1000, 1000, 500])]
        {
            let aws = put(expected.len()).await;
            let published = aws.cloudwatch(false).publish(&datums(count)).await;
            assert_eq!(published, Published { published: count, failed: 0, error: None });
            assert_eq!(sizes(&aws.requests(PUT).await), expected);
            assert!(aws.raw_requests().await.iter().all(|request| request.body.len() < 500_000), "near 1 MB");
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
        let values = [f64::NAN, 1.0, f64::INFINITY, f64::NEG_INFINITY, LARGEST_VALUE, -LARGEST_VALUE * 2.0];
        let published = aws.cloudwatch(false).publish(&values.map(|value| datum(0, value))).await;
        assert_eq!((published.published, published.failed), (2, 4));
        assert!(published.error.unwrap().to_string().contains("ReconstructionError is NaN"));
        assert_eq!(sizes(&aws.requests(PUT).await), [2]);
    }

    #[tokio::test]
    async fn a_put_that_failed_does_not_keep_the_others() {
        let aws =
            Scripted::new([(PUT, vec![answer(json!({})), error(400, "InvalidParameterValue"), answer(json!({}))])])
                .await;
        let published = aws.cloudwatch(false).publish(&datums(2001)).await;
        assert_eq!((published.published, published.failed), (1001, 1000));
        assert!(published.error.unwrap().to_string().contains("InvalidParameterValue: said the script"));
    }
}
