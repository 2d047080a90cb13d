//! What many measurements of one thing come to.

/// The value that half of them do not exceed. `None` without any.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value that 99 of 100 do not exceed. `None` without any.
pub(crate) fn p99(values: &[f64]) -> Option<f64> {
    quantile(values, 0.99)
}

fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at_most = |index: &usize| (*index as f64 + 1.0) >= share * sorted.len() as f64;
    let index = (0..sorted.len()).find(at_most)?;
    sorted.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::{median, p99};

    #[test]
    fn the_median_of_an_odd_number_is_the_one_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn one_outlier_of_a_hundred_is_above_the_99th_percentile_and_two_are_not() {
        let mut values = vec![1.0; 99];
        values.push(50.0);
        assert_eq!(p99(&values), Some(1.0));
        values.push(60.0);
        assert_eq!(p99(&values), Some(50.0));
    }
}
