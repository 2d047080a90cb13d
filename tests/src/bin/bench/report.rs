//! The figures for people and programs.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use comfy_table::{Table, presets::NOTHING};

use crate::figures::{Figure, Figures};

/// Prints the table.
pub(crate) fn print(figures: &Figures) {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["WHAT", "SERVICES", "MEDIAN", "P99", "UNIT", "TARGET"]);
    table.add_rows(figures.rows.iter().map(cells));
    println!("{}", table.trim_fmt());
    print_remarks(figures);
}

/// Prints what one has to know to read the table, and what is missing in it.
pub(crate) fn print_remarks(figures: &Figures) {
    figures.notes.iter().for_each(|note| println!("{note}"));
    for skipped in &figures.skipped {
        println!("not measured: {skipped}");
    }
}

fn cells(figure: &Figure) -> [String; 6] {
    [
        figure.what.clone(),
        figure.size.clone(),
        with_range(figure),
        figure.p99.map(number).unwrap_or_default(),
        figure.unit.clone(),
        verdict(figure),
    ]
}

/// The target and whether it is met; nothing without one.
pub(crate) fn verdict(figure: &Figure) -> String {
    let word = if figure.is_missed() { "MISSED" } else { "met" };
    let target = figure.target.map(|target| format!("{} {word}", target.sign()));
    target.unwrap_or_default()
}

/// With as many decimals as a reader wants.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        at_least if at_least >= 100.0 => 0,
        at_least if at_least >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// As in `0.97 (0.95–0.98)`.
pub(crate) fn with_range(row: &Figure) -> String {
    let range = row
        .range
        .map(|[lowest, highest]| format!(" ({}–{})", number(lowest), number(highest)));
    number(row.value) + &range.unwrap_or_default()
}

/// Writes the figures as JSON.
pub(crate) fn write(figures: &Figures, path: &Path) -> Result<()> {
    let write = || {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, serde_json::to_string_pretty(figures)? + "\n")?;
        anyhow::Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}

/// Reads what [`write()`] has written.
pub(crate) fn read(path: &Path) -> Result<Figures> {
    let read = || Ok::<_, anyhow::Error>(serde_json::from_str(&fs::read_to_string(path)?)?);
    read().with_context(|| format!("cannot read figures from {}", path.display()))
}

/// A line for each target that was missed.
pub(crate) fn missed(figures: &Figures) -> Vec<String> {
    let line = |figure: &Figure| {
        let target = figure.target.filter(|_| figure.is_missed())?;
        let Figure {
            what,
            size,
            unit,
            proxy,
            ..
        } = figure;
        let whose = proxy
            .as_ref()
            .map(|proxy| format!("{proxy}: "))
            .unwrap_or_default();
        let unit = if unit.is_empty() {
            String::new()
        } else {
            format!(" {unit}")
        };
        Some(format!(
            "{whose}{what}, {size} Services: {}{unit}, should be {target}{unit}",
            number(figure.value)
        ))
    };
    figures.rows.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Bound;

    fn figures() -> Figures {
        let row = |value| Figure::new("one endpoint changed", "10000", value, "ms");
        let below_five = |value| Figure {
            target: Some(Bound::Below(5.0)),
            ..row(value)
        };
        Figures {
            kernel: "6.18".to_owned(),
            cpus: 2,
            notes: Vec::new(),
            rows: vec![below_five(4.0), row(7.0), below_five(12.5)],
            skipped: Vec::new(),
        }
    }

    #[test]
    fn each_missed_target_is_named_with_both_values_and_no_other() {
        assert_eq!(
            missed(&figures()),
            ["one endpoint changed, 10000 Services: 12.5 ms, should be below 5 ms"]
        );
    }

    #[test]
    fn a_ratio_of_one_proxy_is_named_with_the_proxy_and_without_a_unit() {
        let mut figures = figures();
        figures.rows = vec![Figure {
            target: Some(Bound::AtLeast(0.95)),
            ..Figure::new("CRR of bare", "10", 0.9, "").of("kube-portal")
        }];
        assert_eq!(
            missed(&figures),
            ["kube-portal: CRR of bare, 10 Services: 0.90, should be at least 0.95"]
        );
    }

    #[test]
    fn the_json_has_every_row_with_its_target() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/figures.json");
        write(&figures(), &path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(json["rows"].as_array().map(Vec::len), Some(3));
        assert_eq!(json["rows"][2]["target"]["below"], 5.0);
        assert_eq!(json["rows"][1]["target"], serde_json::Value::Null);
        assert_eq!(read(&path).unwrap().rows, figures().rows);
    }
}
