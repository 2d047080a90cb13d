//! What the measurements of all rounds come to: medians, and medians of the ratios to the same round without a proxy.

use super::{metric::Metric, path::Path, rounds::Sample, twin::Proxy};
use crate::figures::Figure;

/// What the rows of ratios add to the name of what was measured.
pub(super) const OF_BARE: &str = " of bare";

/// How a row of a path is called.
pub(super) fn what(path: Path, metric: Metric) -> String {
    format!("{}: {}", path.label(), metric.label())
}

/// The rows of a size, for each of `proxies`.
pub(super) fn figures(samples: &[Sample], proxies: &[Proxy], services: u32) -> Vec<Figure> {
    let mut rows = Vec::new();
    for path in Path::ALL {
        for metric in Metric::ALL {
            let of_path: Vec<_> = samples
                .iter()
                .filter(|sample| sample.path == path && sample.metric == metric)
                .copied()
                .collect();
            for proxy in proxies {
                rows.extend(absolute(&of_path, path, metric, *proxy, services));
                rows.extend(ratio(&of_path, path, metric, *proxy, services));
            }
        }
    }
    rows
}

fn absolute(samples: &[Sample], path: Path, metric: Metric, proxy: Proxy, services: u32) -> Option<Figure> {
    let values: Vec<f64> = values(samples, proxy).map(|sample| sample.value).collect();
    row(what(path, metric), proxy, services, &values, metric.unit())
}

fn ratio(samples: &[Sample], path: Path, metric: Metric, proxy: Proxy, services: u32) -> Option<Figure> {
    if proxy == Proxy::Bare {
        return None;
    }
    let bare = |round| values(samples, Proxy::Bare).find(|sample| sample.round == round);
    let ratios: Vec<f64> = values(samples, proxy)
        .filter_map(|sample| Some(sample.value / bare(sample.round)?.value))
        .collect();
    let target = metric.target(path).filter(|_| proxy == Proxy::KubePortal);
    let row = row(what(path, metric) + OF_BARE, proxy, services, &ratios, "")?;
    Some(Figure { target, ..row })
}

fn values(samples: &[Sample], proxy: Proxy) -> impl Iterator<Item = Sample> {
    samples
        .iter()
        .filter(move |sample| sample.proxy == proxy)
        .copied()
}

fn row(what: String, proxy: Proxy, services: u32, values: &[f64], unit: &str) -> Option<Figure> {
    let figure = Figure::of_rounds(&what, &services.to_string(), values, unit)?;
    Some(figure.of(proxy.label()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Bound;

    fn sample(proxy: Proxy, round: u32, value: f64) -> Sample {
        Sample {
            path: Path::ALL[2],
            proxy,
            metric: Metric::Connections,
            round,
            value,
        }
    }

    #[test]
    fn each_round_is_compared_with_its_own_base_so_that_a_slow_round_changes_nothing() {
        let (bare, ours) = (Proxy::Bare, Proxy::KubePortal);
        // The machine is ten times slower in the second round.
        let samples = [
            sample(bare, 0, 1000.0),
            sample(ours, 0, 900.0),
            sample(bare, 1, 100.0),
            sample(ours, 1, 90.0),
            sample(ours, 2, 870.0),
            sample(bare, 2, 1000.0),
        ];
        let rows = figures(&samples, &[bare, ours], 10);
        let ratio = rows.iter().find(|row| row.what.ends_with(OF_BARE)).unwrap();
        assert_eq!((ratio.value, ratio.range), (0.9, Some([0.87, 0.9])));
        assert_eq!(ratio.target, Some(Bound::AtLeast(0.95)));
        assert!(ratio.is_missed());
        let absolute: Vec<f64> = rows
            .iter()
            .filter(|row| row.unit == "1/s")
            .map(|row| row.value)
            .collect();
        assert_eq!(absolute, [1000.0, 870.0]);
    }

    #[test]
    fn only_we_promise_anything() {
        let samples = [Proxy::Bare, Proxy::Iptables].map(|proxy| sample(proxy, 0, 1.0));
        let rows = figures(&samples, &[Proxy::Bare, Proxy::Iptables], 10);
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row.target.is_none()), "{rows:?}");
    }
}
