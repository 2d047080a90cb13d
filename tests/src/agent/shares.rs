//! How new connections to a Service are shared out, as `inspect endpoints --output json` prints it.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Percent of the new connections that each endpoint of `service` gets, which is `namespace/name:port`.
///
/// # Errors
///
/// The output is not what the command promises.
pub(super) fn parse(json: &str, service: &str) -> Result<BTreeMap<SocketAddr, f64>> {
    let rows: Vec<Value> = serde_json::from_str(json).context("`inspect endpoints` printed no JSON array")?;
    let is_of_service = |row: &&Value| {
        let services = row["services"].as_array();
        services.is_some_and(|services| services.iter().any(|name| name == service))
    };
    rows.iter().filter(is_of_service).map(row).collect()
}

fn row(row: &Value) -> Result<(SocketAddr, f64)> {
    let endpoint = row["endpoint"].as_str().and_then(|text| text.parse().ok());
    let found = endpoint.zip(row["share"].as_f64());
    found.with_context(|| format!("no `endpoint` and `share` in {row}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_one_service_are_read() {
        let json = r#"[{"services":["a/b:c"],"list":1,"slot":0,"endpoint":"10.1.0.1:8080","share":12.05},
            {"services":[],"list":2,"slot":0,"endpoint":"10.1.0.2:8080","share":100.0}]"#;
        let expected = BTreeMap::from([("10.1.0.1:8080".parse().unwrap(), 12.05)]);
        assert_eq!(parse(json, "a/b:c").unwrap(), expected);
    }
}
