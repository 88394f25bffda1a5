//! The best linear autoencoder of windows: their principal components.

/// Slots of a window.
pub(super) const WINDOW: usize = 50;
/// Numbers that a window is squeezed into.
const BOTTLENECK: usize = 12;
/// Rounds of subspace iteration. Components of nearly the same variance separate slowly, and it
/// does not matter which of them stays.
const ROUNDS: usize = 60;

/// A fitted autoencoder.
#[derive(Debug)]
pub(super) struct Linear {
    lowest: f64,
    span: f64,
    mean: [f64; WINDOW],
    components: Vec<[f64; WINDOW]>,
}

impl Linear {
    /// Scales the values to 0..1 by their smallest and largest and finds the components of their
    /// windows. `None` where there are fewer windows than slots in one.
    pub(super) fn fit(values: &[f64]) -> Option<Self> {
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let span = if highest > lowest { highest - lowest } else { 1.0 };
        let mut model = Self { lowest, span, mean: [0.0; WINDOW], components: Vec::new() };
        // Skips missing values at the beginning of a series: no earlier value can fill them in.
        let windows: Vec<[f64; WINDOW]> =
            values.windows(WINDOW).filter_map(|window| model.scaled(window)).collect();
        if windows.len() < WINDOW {
            return None;
        }
        let count = windows.len() as f64;
        for window in &windows {
            model.mean.iter_mut().zip(window).for_each(|(mean, value)| *mean += value / count);
        }
        let mut covariance = [[0.0; WINDOW]; WINDOW];
        for window in &windows {
            let centred = model.centred(window);
            for (row, a) in covariance.iter_mut().zip(centred) {
                row.iter_mut().zip(centred).for_each(|(cell, b)| *cell += a * b / count);
            }
        }
        model.components = leading(&covariance);
        Some(model)
    }

    /// The mean squared error of the window that ends at each value; NaN where there is no whole
    /// one.
    pub(super) fn errors(&self, values: &[f64]) -> Vec<f64> {
        let mut errors = vec![f64::NAN; values.len()];
        for (window, error) in values.windows(WINDOW).zip(errors.iter_mut().skip(WINDOW - 1)) {
            let Some(window) = self.scaled(window) else { continue };
            let centred = self.centred(&window);
            // The error is the part of the length that the components do not explain.
            let kept: f64 =
                self.components.iter().map(|component| dot(component, &centred).powi(2)).sum();
            *error = (dot(&centred, &centred) - kept).max(0.0) / WINDOW as f64;
        }
        errors
    }

    fn scaled(&self, window: &[f64]) -> Option<[f64; WINDOW]> {
        let mut scaled = [0.0; WINDOW];
        scaled
            .iter_mut()
            .zip(window)
            .for_each(|(scaled, value)| *scaled = (value - self.lowest) / self.span);
        scaled.iter().all(|value| value.is_finite()).then_some(scaled)
    }

    fn centred(&self, window: &[f64; WINDOW]) -> [f64; WINDOW] {
        std::array::from_fn(|at| window[at] - self.mean[at])
    }
}

/// The eigenvectors of the largest eigenvalues, orthonormal, by subspace iteration from cosines.
fn leading(covariance: &[[f64; WINDOW]; WINDOW]) -> Vec<[f64; WINDOW]> {
    let cosine = |order: usize, at: usize| {
        (std::f64::consts::PI * order as f64 * (at as f64 + 0.5) / WINDOW as f64).cos()
    };
    let mut vectors: Vec<[f64; WINDOW]> =
        (0..BOTTLENECK).map(|order| std::array::from_fn(|at| cosine(order, at))).collect();
    for _ in 0..ROUNDS {
        for vector in &mut vectors {
            *vector = std::array::from_fn(|at| dot(&covariance[at], vector));
        }
        orthonormalise(&mut vectors);
    }
    vectors
}

/// Makes every vector orthonormal to those before it, or zero where nothing of it remains.
fn orthonormalise(vectors: &mut [[f64; WINDOW]]) {
    for index in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(index);
        let vector = &mut rest[0];
        let length = dot(vector, vector).sqrt();
        // Twice: once is not enough where the rest is small.
        for other in before.iter().chain(before.iter()) {
            let along = dot(vector, other);
            vector.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
        }
        let left = dot(vector, vector).sqrt();
        let factor = if left > 1e-9 * length { 1.0 / left } else { 0.0 };
        vector.iter_mut().for_each(|value| *value *= factor);
    }
}

fn dot(a: &[f64; WINDOW], b: &[f64; WINDOW]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_few_components_is_reconstructed_and_what_is_new_is_not() {
        let wave = |slot: usize| {
            40.0 + 20.0 * (slot as f64 * 0.3).sin() + 9.0 * (slot as f64 * 0.07).cos()
        };
        let mut values: Vec<f64> = (0..1500).map(wave).collect();
        values[1200] += 15.0;
        let errors = Linear::fit(&values[..1000]).unwrap().errors(&values);
        assert!(errors[..WINDOW - 1].iter().all(|error| error.is_nan()));
        assert!(errors[WINDOW - 1..1200].iter().all(|error| *error < 1e-9));
        assert!(errors[1200..1200 + WINDOW].iter().all(|error| *error > 1e-4));
        assert!(errors[1200 + WINDOW] < 1e-9);
    }

    #[test]
    fn components_are_orthonormal() {
        let values: Vec<f64> = (0..3000).map(|slot: usize| (slot * 7919 % 101) as f64).collect();
        let components = Linear::fit(&values).unwrap().components;
        for (i, a) in components.iter().enumerate() {
            for (j, b) in components.iter().enumerate() {
                assert!((dot(a, b) - f64::from(u8::from(i == j))).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn too_little_cannot_be_fitted_and_a_constant_can() {
        assert!(Linear::fit(&[1.0; 2 * WINDOW - 2]).is_none());
        let errors = Linear::fit(&[1.0; 200]).unwrap().errors(&[1.0; 200]);
        assert!(errors[WINDOW..].iter().all(|error| *error == 0.0));
    }
}
