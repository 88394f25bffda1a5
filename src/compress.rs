//! CPU in percent to the unit that errors are measured in, and back.
//!
//! A drop from 2 % to 0.2 % loses as much of a machine's work as a drop from 40 % to 4 %. So errors
//! below a forecast are distances of `asinh(percent)`, the compressed unit. It is linear under one
//! percent and logarithmic above it. There a distance of 0.1 is a tenth of the value.
//!
//! Upwards, a ratio says too much: any small job can take a machine from 2 % to 6 %. Upwards, the
//! number of extra jobs counts, and the noise of a count grows with its root. So errors above a
//! forecast are distances of `sqrt(percent)`. Both were measured on real machines:
//! docs/experiments.md.

/// Percent to the compressed unit.
pub fn compress(percent: f64) -> f64 {
    percent.asinh()
}

/// The compressed unit to percent.
pub fn expand(compressed: f64) -> f64 {
    compressed.sinh()
}

/// Percent to the unit of errors above a forecast.
pub fn root(percent: f64) -> f64 {
    percent.abs().sqrt().copysign(percent)
}

/// How far `compressed` lies from `expected` (both compressed), never negative. Above it, the unit
/// is that of errors above a forecast; below it, the compressed one.
pub fn distance(compressed: f64, expected: f64) -> f64 {
    match compressed > expected {
        true => root(expand(compressed)) - root(expand(expected)),
        false => expected - compressed,
    }
}

/// The value in percent that lies `distance` above or below `expected` (compressed).
pub fn at_distance(expected: f64, distance: f64, above: bool) -> f64 {
    match above {
        true => {
            let root = root(expand(expected)) + distance;
            root * root.abs()
        }
        false => expand(expected - distance),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_where_it_was_and_ratios_are_distances() {
        for percent in [-3.0, 0.0, 0.01, 1.0, 50.0, 100.0] {
            assert!((expand(compress(percent)) - percent).abs() < 1e-9, "{percent}");
        }
        let halved = |percent: f64| compress(percent) - compress(percent / 2.0);
        assert!(
            (halved(80.0) - halved(20.0)).abs() < 2e-3,
            "{} and {}",
            halved(80.0),
            halved(20.0)
        );
    }

    #[test]
    fn a_distance_leads_back_on_its_own_side() {
        for expected in [-4.0, 0.0, 0.3, 9.0, 81.0] {
            for percent in [-5.0, 0.0, 0.2, 16.0, 100.0] {
                let distance = distance(compress(percent), compress(expected));
                let back = at_distance(compress(expected), distance, percent > expected);
                assert!((back - percent).abs() < 1e-9, "{percent} from {expected}: {back}");
            }
        }
        assert!((distance(compress(25.0), compress(9.0)) - 2.0).abs() < 1e-9);
    }
}
