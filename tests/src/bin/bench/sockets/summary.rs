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
    let rows = Comparison::all().into_iter().flat_map(|comparison| {
        let own = samples.iter().filter(|sample| sample.comparison == comparison);
        of_comparison(&comparison, &own.copied().collect::<Vec<_>>(), &size)
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
    let comparisons = Comparison::all();
    let comparison = comparisons
        .iter()
        .find(|comparison| comparison.what() == large.what);
    let target = match comparison {
        Some(comparison) => comparison.target.map(|_| comparison.flat()),
        None if programs::is_time(large) => Some(programs::flat(small.value)),
        None => return None,
    };
    let is_ratio = large.unit.is_empty();
    let (relation, value) = if is_ratio {
        ("of that", large.value / small.value)
    } else {
        ("more than", large.value - small.value)
    };
    let what = format!("{}: {relation} at {}", large.what, small.size);
    Some(Figure {
        target,
        ..Figure::new(&what, &large.size, value, &large.unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Bound;

    fn sample(comparison: usize, way: f64, base: f64) -> Sample {
        Sample {
            comparison: Comparison::all()[comparison],
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
        assert_eq!(flat_of(rows_of(0.99, 200.0, 290.0, 50)), [false; 3]);
        assert_eq!(flat_of(rows_of(0.9, 900.0, 310.0, 50)), [true; 3]);
    }

    #[test]
    fn a_program_may_take_half_as_long_again_or_less_than_a_look_up_longer() {
        let more = |small: f64, large: f64| {
            let row = |size: &str, time| Figure::new("socket_release: IPv4, no Service", size, time, "ns");
            let flat = flat(&[row("10", small), row("50", large)], &[10, 50]);
            let [row] = &flat[..] else { panic!("{flat:?}") };
            (row.what.clone(), row.value, row.target, row.is_missed())
        };
        let what = "socket_release: IPv4, no Service: more than at 10".to_owned();
        for (small, large, bound, is_missed) in [
            (28.0, 78.0, 100.0, false),
            (28.0, 129.0, 100.0, true),
            (1000.0, 1500.0, 500.0, false),
            (1000.0, 1501.0, 500.0, true),
        ] {
            let expected = (what.clone(), large - small, Some(Bound::AtMost(bound)), is_missed);
            assert_eq!(more(small, large), expected);
        }
    }

    #[test]
    fn one_size_has_nothing_to_be_beside() {
        assert_eq!(flat(&figures(&[sample(0, 1.0, 1.0)], 10), &[10]), []);
    }
}
