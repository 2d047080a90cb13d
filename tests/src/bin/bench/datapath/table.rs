//! The figures beside each other: a row for each path and metric, a column for each proxy.

use comfy_table::{Table, presets::NOTHING};

use super::{
    metric::Metric,
    path::Path,
    summary::{OF_BARE, what},
    twin::Proxy,
};
use crate::{
    figures::Figures,
    report::{self, number, verdict, with_range},
};

const PROXIES: [Proxy; 4] = [Proxy::KubePortal, Proxy::Empty, Proxy::Iptables, Proxy::Nftables];

/// Prints a table for each size, and one of the programs.
pub(crate) fn print(figures: &Figures) {
    let mut sizes: Vec<&str> = figures.rows.iter().map(|row| row.size.as_str()).collect();
    // All rows of a size are together.
    sizes.dedup();
    for size in sizes {
        println!("{size} Services\n\n{}\n", of_size(figures, size));
    }
    println!("Programs of kube-portal\n\n{}\n", of_programs(figures));
    report::print_remarks(figures);
}

fn of_size(figures: &Figures, size: &str) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "WHAT",
        "BARE",
        "KUBE-PORTAL / BARE",
        "EMPTY / BARE",
        "IPTABLES / BARE",
        "NFTABLES / BARE",
        "TARGET",
    ]);
    let metrics = |path: Path| Metric::ALL.map(|metric| cells(figures, size, path, metric));
    table.add_rows(Path::ALL.into_iter().flat_map(metrics));
    table.trim_fmt()
}

fn of_programs(figures: &Figures) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["WHAT", "SERVICES", "VALUE", "UNIT", "TARGET"]);
    let of_paths: Vec<String> = Path::ALL
        .into_iter()
        .flat_map(|path| Metric::ALL.map(|metric| what(path, metric)))
        .flat_map(|what| [what.clone() + OF_BARE, what])
        .collect();
    let of_programs = figures.rows.iter().filter(|row| !of_paths.contains(&row.what));
    table.add_rows(of_programs.map(|row| {
        [
            row.what.clone(),
            row.size.clone(),
            number(row.value),
            row.unit.clone(),
            verdict(row),
        ]
    }));
    table.trim_fmt()
}

fn cells(figures: &Figures, size: &str, path: Path, metric: Metric) -> Vec<String> {
    let what = what(path, metric);
    let find = |what: &str, proxy: Proxy| {
        figures
            .rows
            .iter()
            .find(|row| row.size == size && row.what == what && row.proxy.as_deref() == Some(proxy.label()))
    };
    let bare = find(&what, Proxy::Bare).map(|row| format!("{} {}", number(row.value), row.unit));
    let ratio = what.clone() + OF_BARE;
    let ratios = PROXIES.map(|proxy| find(&ratio, proxy));
    let target = ratios[0].map(verdict);
    let mut cells = vec![what, bare.unwrap_or_default()];
    cells.extend(ratios.map(|row| row.map(with_range).unwrap_or_default()));
    cells.push(target.unwrap_or_default());
    cells
}
