//! How long things took lately.

use std::collections::VecDeque;
use std::time::Duration;

/// The latest durations of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(VecDeque<Duration>);

impl Samples {
    pub(super) fn push(&mut self, sample: Duration) {
        if self.0.len() == COUNT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// What three quarters of them did not exceed: one odd server does not set the measure.
    pub(super) fn typical(&self) -> Option<Duration> {
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * 3).div_ceil(4);
        sorted.get(rank.checked_sub(1)?).copied()
    }
}

/// Enough for a percentile, few enough to follow a line that changes.
const COUNT_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn typical(milliseconds: &[u64]) -> Option<u64> {
        let mut samples = Samples::default();
        for &sample in milliseconds {
            samples.push(Duration::from_millis(sample));
        }
        let typical = samples.typical()?;
        Some(u64::try_from(typical.as_millis()).unwrap())
    }

    #[test]
    fn three_quarters_of_the_samples_are_not_above_the_typical_one() {
        assert_eq!(typical(&[]), None);
        assert_eq!(typical(&[7]), Some(7));
        assert_eq!(typical(&[1, 2, 3, 900]), Some(3));
        assert_eq!(typical(&[5, 1, 2, 3, 4, 900, 6, 7]), Some(6));
    }

    #[test]
    fn old_samples_are_forgotten() {
        let mut all = vec![1000; COUNT_MAX];
        all.extend(vec![1; COUNT_MAX]);
        assert_eq!(typical(&all), Some(1));
    }
}
