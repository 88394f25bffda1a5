//! Axes: map a value to a place in the picture, and label it.

/// Larger values are drawn as this one, so that their squares and differences stay finite.
const HUGE: f64 = 1e100;
/// Values on a logarithmic axis are at least this.
const LEAST: f64 = 1e-12;

/// A value that can be drawn.
pub(super) fn drawable(value: f64) -> Option<f64> {
    value.is_finite().then(|| value.clamp(-HUGE, HUGE))
}

/// The smallest and the largest of the values that can be drawn.
pub(super) fn span(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter_map(drawable).fold(None, |span, value| match span {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// One axis of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// Values with their labels.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis with about as many ticks as are wanted.
    pub(super) fn linear((low, high): (f64, f64), wanted: usize) -> Self {
        let (low, high) = widened(low, high);
        let step = nice((high - low) / wanted.max(1) as f64);
        let first = (low / step - 1e-6).ceil();
        let ticks = (0..=wanted * 3).map(|tick| (first + tick as f64) * step);
        // A step of 0.02 makes 0.06 something like 0.060000000000000005, and minus zero is zero.
        let ticks = ticks
            .take_while(|&tick| tick <= high + step * 1e-6)
            .map(|tick| (tick + 0.0, label(tick, step)));
        Self { low, high, log: false, ticks: ticks.collect() }
    }

    /// A logarithmic axis, with ticks for the powers of ten and, as far as more are wanted, for
    /// some values between.
    pub(super) fn log((low, high): (f64, f64), wanted: usize) -> Self {
        let [low, high] = [low, high].map(|end| drawable(end).unwrap_or(1.0).max(LEAST));
        let (low, high) = if low < high { (low, high) } else { (low / 2.0, low * 2.0) };
        let decades = (high / low).log10();
        let wanted = wanted.max(1) as f64;
        let fitting = [&[1, 2, 3, 4, 5, 7][..], &[1, 2, 5], &[1]].into_iter();
        let between = fitting
            .into_iter()
            .find(|between| between.len() as f64 * decades <= wanted)
            .unwrap_or(&[1]);
        let apart = ((decades / wanted).ceil() as i32).max(1);
        let exponents = (low.log10().floor() as i32..=high.log10().ceil() as i32)
            .filter(|decade| decade % apart == 0);
        let ticks = exponents.flat_map(|decade| {
            between.iter().filter_map(move |digit| {
                // Parsed, because a product of floats is not the number that is meant.
                let tick: f64 = format!("{digit}e{decade}").parse().ok()?;
                let label =
                    if decade.abs() > 5 { format!("{digit}e{decade}") } else { tick.to_string() };
                Some((tick, label))
            })
        });
        let inside = |tick: f64| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(&tick);
        Self { low, high, log: true, ticks: ticks.filter(|&(tick, _)| inside(tick)).collect() }
    }

    /// An axis of seconds since 1970, UTC.
    pub(super) fn time((low, high): (i64, i64), wanted: usize) -> Self {
        const HOUR: i64 = 3600;
        let wanted = wanted.max(1) as i64;
        let high = high.max(low.saturating_add(1));
        let least = high.saturating_sub(low) / wanted;
        let hours = [1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 672];
        let step = hours.map(|hours| hours * HOUR).into_iter().find(|&step| step >= least);
        let step = step.unwrap_or_else(|| least.max(1));
        let first = low.div_euclid(step).saturating_mul(step);
        let ticks = (0..=wanted + 1).map(|tick| first.saturating_add(tick.saturating_mul(step)));
        let ticks = ticks
            .filter(|tick| (low..=high).contains(tick))
            .map(|tick| (tick as f64, time_label(tick)));
        Self { low: low as f64, high: high as f64, log: false, ticks: ticks.collect() }
    }

    /// Where on the axis a value is: 0 at its beginning, 1 at its end. Values outside lie beyond
    /// that.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (low, high, value) = match self.log {
            true => (self.low.log10(), self.high.log10(), value.max(LEAST).log10()),
            false => (self.low, self.high, value),
        };
        ((value - low) / (high - low)).clamp(-100.0, 100.0)
    }

    pub(super) fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// The range, or one around it where its ends are the same.
fn widened(low: f64, high: f64) -> (f64, f64) {
    let (low, high) = (drawable(low).unwrap_or(0.0), drawable(high).unwrap_or(1.0));
    let (low, high) = (low.min(high), low.max(high));
    let around = (low.abs().max(high.abs()) * 0.1).max(LEAST);
    if high - low > around * 1e-6 { (low, high) } else { (low - around, high + around) }
}

/// 1, 2 or 5 times a power of ten, about the step.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|&nice| nice >= step * 0.65)
        .unwrap_or(10.0 * power)
}

/// A tick with as many decimals as tell it from the next.
fn label(tick: f64, step: f64) -> String {
    let tick = if tick.abs() < step / 2.0 { 0.0 } else { tick };
    if !(1e-6..1e5).contains(&step) {
        return if tick == 0.0 { "0".into() } else { format!("{tick:.1e}") };
    }
    let decimals = (-(step * 1.0001).log10().floor()).max(0.0) as usize;
    format!("{tick:.decimals$}")
}

/// The day at midnight, otherwise the hour.
fn time_label(time: i64) -> String {
    let format = if time % (24 * 3600) == 0 { "%b %-d" } else { "%H:%M" };
    jiff::Timestamp::from_second(time)
        .map_or_else(|_| time.to_string(), |time| time.strftime(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_told_apart() {
        assert_eq!(labels(&Axis::linear((0.0, 0.078), 4)), ["0.00", "0.02", "0.04", "0.06"]);
        assert_eq!(
            labels(&Axis::linear((-0.3, 0.9), 4)),
            ["-0.2", "0.0", "0.2", "0.4", "0.6", "0.8"]
        );
        assert_eq!(labels(&Axis::linear((0.0, 100.0), 5)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(
            labels(&Axis::log((0.05, 10.0), 9)),
            ["0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10"]
        );
        assert_eq!(
            labels(&Axis::log((0.01, 1000.0), 9)),
            ["0.01", "0.1", "1", "10", "100", "1000"]
        );
        let day = 24 * 3600;
        assert_eq!(
            labels(&Axis::time((-3600, 2 * day), 5)),
            ["Jan 1", "12:00", "Jan 2", "12:00", "Jan 3"]
        );
    }

    #[test]
    fn any_range_has_a_few_ticks_and_places_that_are_numbers() {
        let ranges = [
            (0.0, 0.0),
            (5.0, 5.0),
            (1.0, 0.0),
            (-1e300, 1e300),
            (f64::NAN, f64::INFINITY),
            (85.0, 85.0 + 1e-12),
        ];
        for (low, high) in ranges {
            for axis in [Axis::linear((low, high), 5), Axis::log((low, high), 6)] {
                assert!(axis.ticks.len() < 20, "{low} to {high}: {axis:?}");
                for value in [low, high, 0.0, f64::MAX, f64::MIN] {
                    assert!(
                        value.is_nan() || axis.place(value).is_finite(),
                        "{value} in {low} to {high}: {axis:?}"
                    );
                }
            }
        }
        for (low, high) in [(0, 0), (i64::MIN, i64::MAX), (i64::MAX, i64::MAX), (5, 3)] {
            assert!(Axis::time((low, high), 10).ticks.len() < 20);
        }
    }
}
