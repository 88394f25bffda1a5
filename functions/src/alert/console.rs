//! Links into the CloudWatch console: a graph of one instance around a time.

use std::fmt::Write;

use deepguard_aws::ids::TargetId;
use deepguard_aws::metric::Metric;

use crate::time::rfc3339;

/// Seconds that a graph shows before an anomaly begins ...
const BEFORE: i64 = 24 * 3600;
/// ... and after it was reported.
const AFTER: i64 = 2 * 3600;

/// The console of one Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// The Region's name; empty where it is unknown.
    pub region: String,
    /// The namespace of DeepGuard's metrics.
    pub namespace: String,
    /// Whether instances have metrics of their bands.
    pub bands: bool,
}

impl Console {
    /// Where the console of the Region's partition is.
    fn host(&self) -> String {
        let region = &self.region;
        match region {
            _ if region.starts_with("cn-") => format!("{region}.console.amazonaws.cn"),
            _ if region.starts_with("us-gov-") => format!("{region}.console.amazonaws-us-gov.com"),
            _ => format!("{region}.console.aws.amazon.com"),
        }
    }

    /// A graph of an instance's CPU with its band, and of its score, from a day before `since` to
    /// two hours after `until` (seconds since 1970).
    pub fn graph(&self, instance: &TargetId, since: i64, until: i64) -> String {
        let (dimension, value) = instance.dimension();
        let metric = |namespace: &str, name: &str, right: bool| {
            let axis = if right { "~(yAxis~'right)" } else { "" };
            format!(
                "~(~{}~{}~'{}~{}{axis})",
                text(namespace),
                text(name),
                dimension.name(),
                text(value)
            )
        };
        let cpu = metric("AWS/EC2", "CPUUtilization", false);
        let of_band = [Metric::ExpectedCPU, Metric::ExpectedLow, Metric::ExpectedHigh]
            .map(|of_band| metric(&self.namespace, of_band.name(), false));
        let band = if self.bands { of_band.concat() } else { String::new() };
        let score = metric(&self.namespace, Metric::AnomalyScore.name(), true);
        let (start, end) = (text(&rfc3339(since - BEFORE)), text(&rfc3339(until + AFTER)));
        let region = text(&self.region);
        format!(
            "https://{}/cloudwatch/home?region={}#metricsV2:graph=\
             ~(metrics~({cpu}{band}{score})~view~'timeSeries~stacked~false\
             ~region~{region}~stat~'Maximum~period~300~start~{start}~end~{end})",
            self.host(),
            self.region
        )
    }
}

/// A text as the console's links write it, with an apostrophe before it. Everything but letters,
/// digits, `_`, `-` and `.` becomes `*` and two hexadecimal digits.
fn text(text: &str) -> String {
    let mut written = String::from("'");
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
                written.push(char::from(byte))
            }
            _ => drop(write!(written, "*{byte:02x}")),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;

    #[test]
    fn a_graph_names_its_metrics_and_the_time() {
        let namespace = "team/cpu".to_string();
        let console = Console { region: "eu-central-1".into(), namespace, bands: false };
        let link = console.graph(&instance(7), 1_768_478_400, 1_768_478_400);
        let expected = "https://eu-central-1.console.aws.amazon.com/cloudwatch/home\
            ?region=eu-central-1#metricsV2:graph=\
            ~(metrics~(~(~'AWS*2fEC2~'CPUUtilization~'InstanceId~'i-00000000000000007)\
            ~(~'team*2fcpu~'AnomalyScore~'InstanceId~'i-00000000000000007~(yAxis~'right)))\
            ~view~'timeSeries~stacked~false~region~'eu-central-1~stat~'Maximum~period~300\
            ~start~'2026-01-14T12*3a00*3a00Z~end~'2026-01-15T14*3a00*3a00Z)";
        assert_eq!(link, expected);
        let with_band = Console { bands: true, ..console };
        let link = with_band.graph(&instance(7), 1_768_478_400, 1_768_478_400);
        let of_band =
            |name: &str| format!("~(~'team*2fcpu~'{name}~'InstanceId~'i-00000000000000007)");
        let cpu = "~(~'AWS*2fEC2~'CPUUtilization~'InstanceId~'i-00000000000000007)";
        let band = ["ExpectedCPU", "ExpectedLow", "ExpectedHigh"].map(of_band).concat();
        assert_eq!(link, expected.replace(cpu, &format!("{cpu}{band}")), "the band is the CPU's");
    }

    #[test]
    fn the_graph_of_a_group_is_that_of_its_own_metrics() {
        let console = Console { region: "us-east-1".into(), namespace: "D".into(), bands: false };
        let link = console.graph(&"asg:web/1".parse().unwrap(), 0, 0);
        assert!(
            link.contains("~(~'AWS*2fEC2~'CPUUtilization~'AutoScalingGroupName~'web*2f1)"),
            "{link}"
        );
    }

    #[test]
    fn other_partitions_have_other_consoles() {
        let host = |region: &str| {
            Console { region: region.into(), namespace: "DeepGuard".into(), bands: true }.host()
        };
        assert_eq!(host("cn-north-1"), "cn-north-1.console.amazonaws.cn");
        assert_eq!(host("us-gov-west-1"), "us-gov-west-1.console.amazonaws-us-gov.com");
    }
}
