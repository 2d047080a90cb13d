//! What the measurements come to: medians of each way and of each comparison within its round, and how they change from the smallest
//! to the largest cluster.

use super::{
    comparison::{Comparison, Load},
    programs,
    rounds::Sample,
    way::Way,
};
use crate::figures::Figure;

/// The rows of a size.
pub(super) fn figures(samples: &[Sample], services: u32) -> Vec<Figure> {
    let size = services.to_string();
    let rows = Comparison::ALL
        .iter()
        .enumerate()
        .flat_map(|(index, comparison)| {
            let own: Vec<Sample> = samples
                .iter()
                .filter(|sample| sample.comparison == index)
                .copied()
                .collect();
            of_comparison(comparison, &own, &size)
        });
    rows.collect()
}

fn of_comparison(comparison: &Comparison, samples: &[Sample], size: &str) -> Vec<Figure> {
    let values = |value: &dyn Fn(&Sample) -> f64| -> Vec<f64> { samples.iter().map(value).collect() };
    let absolute = |way: Way, values: &[f64]| {
        let load: Load = comparison.load;
        Figure::of_rounds(&load.of(way), size, values, load.unit())
    };
    let compared = values(&|sample| comparison.compare(sample.way, sample.base));
    let compared = Figure::of_rounds(&comparison.what(), size, &compared, comparison.unit());
    let rows = [
        absolute(comparison.base, &values(&|sample| sample.base)),
        absolute(comparison.way, &values(&|sample| sample.way)),
        compared.map(|row| Figure {
            target: comparison.target,
            ..row
        }),
    ];
    rows.into_iter().flatten().collect()
}

/// For each comparison and each program, the largest cluster beside the smallest; nothing if there is one only.
pub(super) fn flat(rows: &[Figure], sizes: &[u32]) -> Vec<Figure> {
    let (Some(smallest), Some(largest)) = (sizes.first(), sizes.last()) else {
        return Vec::new();
    };
    if smallest == largest {
        return Vec::new();
    }
    let of_size = |size: &u32| {
        let size = size.to_string();
        rows.iter().filter(move |row| row.size == size)
    };
    let row = |large: &Figure| {
        let small = of_size(smallest).find(|row| row.what == large.what)?;
        change(small, large)
    };
    of_size(largest).filter_map(row).collect()
}

fn change(small: &Figure, large: &Figure) -> Option<Figure> {
    let comparison = Comparison::ALL
        .iter()
        .find(|comparison| comparison.what() == large.what);
    let target = match comparison {
        Some(comparison) => comparison.flat(),
        None if programs::is_time(large) => programs::FLAT,
        None => return None,
    };
    let is_little = comparison.is_none() && large.value - small.value < programs::FLAT_MORE;
    let is_difference = comparison.is_some_and(|comparison| comparison.load == Load::Connects);
    let (relation, value, unit) = if is_difference {
        ("more than", large.value - small.value, large.unit.as_str())
    } else {
        ("of that", large.value / small.value, "")
    };
    let what = format!("{}: {relation} at {}", large.what, small.size);
    Some(Figure {
        target: Some(target)
            .filter(|_| !is_little && comparison.is_none_or(|comparison| comparison.target.is_some())),
        ..Figure::new(&what, &large.size, value, unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Bound;

    fn sample(comparison: usize, way: f64, base: f64) -> Sample {
        Sample {
            comparison,
            way,
            base,
        }
    }

    #[test]
    fn each_round_is_compared_with_itself_so_that_a_slow_round_changes_nothing() {
        // The machine is ten times slower in the second round.
        let samples = [
            sample(0, 960.0, 1000.0),
            sample(0, 96.0, 100.0),
            sample(0, 980.0, 1000.0),
        ];
        let rows = figures(&samples, 10);
        let values: Vec<(f64, &str)> = rows.iter().map(|row| (row.value, row.unit.as_str())).collect();
        assert_eq!(values, [(1000.0, "1/s"), (960.0, "1/s"), (0.96, "")]);
        assert_eq!(rows[2].target, Some(Bound::AtLeast(0.97)));
        assert!(rows[2].is_missed());
    }

    #[test]
    fn what_grows_with_the_number_of_services_is_not_flat() {
        let rows_of = |ratio: f64, more: f64, program: f64, services: u32| {
            let mut rows = figures(
                &[sample(0, ratio, 1.0), sample(7, 1000.0 + more, 1000.0)],
                services,
            );
            let name = "socket_connect4: IPv4, Service";
            rows.push(Figure::new(name, &services.to_string(), program, "ns"));
            rows
        };
        let flat_of = |large: Vec<Figure>| {
            let rows = [rows_of(1.0, 100.0, 200.0, 10), large].concat();
            let flat = flat(&rows, &[10, 50]);
            flat.iter().map(Figure::is_missed).collect::<Vec<_>>()
        };
        assert_eq!(flat_of(rows_of(0.99, 200.0, 240.0, 50)), [false; 3]);
        assert_eq!(flat_of(rows_of(0.9, 900.0, 400.0, 50)), [true; 3]);
    }

    #[test]
    fn one_size_has_nothing_to_be_beside() {
        assert_eq!(flat(&figures(&[sample(0, 1.0, 1.0)], 10), &[10]), []);
    }
}
