//! The limits of CloudWatch for one call. From the API reference of each operation, as of 2026.

use jiff::SignedDuration;

/// Queries in one GetMetricData call. (GetMetricData, `MetricDataQueries`)
pub const QUERIES_PER_READ: usize = 500;
/// Datapoints that one GetMetricData call returns before it goes on to another page.
/// (GetMetricData, `MaxDatapoints`)
pub const DATAPOINTS_PER_READ: usize = 100_800;
/// Datums in one PutMetricData call. (PutMetricData, `MetricData`)
pub const DATUMS_PER_PUT: usize = 1000;
/// Bytes of one PutMetricData call. (PutMetricData: "no larger than 1 MB") AWS counts them after
/// compression; here the limit holds before it.
pub const BYTES_PER_PUT: usize = 1_000_000;
/// The largest magnitude of a value, 2^360; NaN and infinities are refused too. (MetricDatum,
/// `Value`)
pub const LARGEST_VALUE: f64 = f64::from_bits((1023 + 360) << 52);
/// How old a datum's time stamp may be. (PutMetricData, `Timestamp`)
pub const PUBLISHABLE_PAST: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Characters of a namespace. (PutMetricData, `Namespace`)
pub const NAMESPACE_LENGTH: usize = 255;

#[cfg(test)]
mod tests {
    #[test]
    fn the_largest_value_is_two_to_the_360th() {
        assert_eq!(super::LARGEST_VALUE, 2f64.powi(360));
    }
}
