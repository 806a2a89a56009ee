//! A straight line through measured points.

/// `y = intercept + slope * x`, the least squares fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The value at zero.
    pub intercept: f64,
    /// The growth per unit.
    pub slope: f64,
}

impl Fit {
    /// Fits a line to points; none if they do not determine one.
    #[must_use]
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let count = f64::from(u32::try_from(points.len()).ok()?);
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
        let spread = points
            .iter()
            .map(|(x, _)| (x - mean_x).powi(2))
            .sum::<f64>();
        let together = points
            .iter()
            .map(|(x, y)| (x - mean_x) * (y - mean_y))
            .sum::<f64>();
        let slope = together / spread;
        slope.is_finite().then_some(Self {
            intercept: mean_y - slope * mean_x,
            slope,
        })
    }

    /// The fitted value.
    #[must_use]
    pub fn at(self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }
}

/// The middle of measured values: half are at most this.
///
/// # Panics
///
/// Without a value.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that this share of the values do not exceed.
///
/// # Panics
///
/// Without a value.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    assert!(!values.is_empty(), "a quantile of nothing");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index between 0 and the last, far below 2^52"
    )]
    let index = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
    sorted[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_give_the_line() {
        let fit = Fit::of(&[(14.0, 17.0), (50.0, 53.0), (100.0, 103.0)]).expect("three points");
        assert!(
            (fit.slope - 1.0).abs() < 1e-12 && (fit.intercept - 3.0).abs() < 1e-9,
            "{fit:?}"
        );
        assert!((fit.at(200.0) - 203.0).abs() < 1e-9);
    }

    #[test]
    fn one_place_determines_no_line() {
        assert_eq!(Fit::of(&[]), None);
        assert_eq!(Fit::of(&[(1.0, 2.0)]), None);
        assert_eq!(Fit::of(&[(1.0, 2.0), (1.0, 3.0)]), None);
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!(median(&values).to_bits(), 3.0_f64.to_bits());
        assert_eq!(quantile(&values, 1.0).to_bits(), 5.0_f64.to_bits());
        assert_eq!(quantile(&values, 0.0).to_bits(), 1.0_f64.to_bits());
        assert_eq!(median(&[7.0]).to_bits(), 7.0_f64.to_bits());
    }
}
