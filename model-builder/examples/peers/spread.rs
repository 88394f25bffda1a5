//! Many measurements of the same.

/// The middle of some measurements, and the quarter and three quarters below which they lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Needs at least one measurement; without any, all values are NaN.
    pub(crate) fn of(measured: &[f64]) -> Self {
        let mut sorted = measured.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |part| deepguard::baseline::level::quantile(&sorted, part).unwrap_or(f64::NAN);
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }

    /// Both quartiles behind the median.
    pub(crate) fn text(&self) -> String {
        let Self { low, median, high } = *self;
        format!("{} ({}–{})", digits(median), digits(low), digits(high))
    }
}

/// With three digits that count.
pub(crate) fn digits(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
