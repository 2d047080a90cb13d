//! Fields that have no effect: kube-proxy's own, which are known to have none here, and names that not even kube-proxy has.

use serde_json::Value;

use super::fields::{Fields, Others};

/// Fields of `v1alpha1` that this program has nothing to do with, or not yet. A name stands for all that is below it.
const KUBE_PROXYS: [&str; 23] = [
    "featureGates",
    "logging",
    "clientConnection.acceptContentTypes",
    "clientConnection.contentType",
    "clientConnection.qps",
    "clientConnection.burst",
    "bindAddress",
    "bindAddressHardFail",
    "healthzBindAddress",
    "enableProfiling",
    "showHiddenMetricsForVersion",
    "ipvs.scheduler",
    "ipvs.excludeCIDRs",
    "ipvs.strictARP",
    "ipvs.tcpTimeout",
    "ipvs.tcpFinTimeout",
    "ipvs.udpTimeout",
    "winkernel",
    "windowsRunAsService",
    "oomScoreAdj",
    "configSyncPeriod",
    "portRange",
    "udpIdleTimeout",
];

/// A sentence for each field that says something in vain.
pub(super) fn warnings(fields: &Fields) -> Vec<String> {
    let groups: [(&str, &Others); 7] = [
        ("", &fields.others),
        ("clientConnection.", &fields.client_connection.others),
        ("iptables.", &fields.iptables.others),
        ("nftables.", &fields.nftables.others),
        ("ipvs.", &fields.ipvs.others),
        ("conntrack.", &fields.conntrack.others),
        ("detectLocal.", &fields.detect_local.others),
    ];
    let mut warnings = Vec::new();
    for (prefix, others) in groups {
        for (name, value) in others {
            tell(&format!("{prefix}{name}"), value, &mut warnings);
        }
    }
    warnings
}

fn tell(field: &str, value: &Value, warnings: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                tell(&format!("{field}.{name}"), value, warnings);
            }
        }
        value if says_nothing(value) => {}
        _ if is_kube_proxys(field) => warnings.push(format!("{field}: has no effect here")),
        _ => warnings.push(format!(
            "{field}: KubeProxyConfiguration has no such field; is it misspelled?"
        )),
    }
}

fn is_kube_proxys(field: &str) -> bool {
    KUBE_PROXYS.iter().any(|name| {
        let below = field.strip_prefix(name);
        below.is_some_and(|below| below.is_empty() || below.starts_with('.'))
    })
}

/// Zero values, which kubeadm writes for what nobody has configured, and its bind address, which is the default.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => matches!(text.as_str(), "0" | "0s" | "0.0.0.0" | "::"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}
