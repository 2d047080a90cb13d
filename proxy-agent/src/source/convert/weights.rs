//! The annotation that gives the endpoints of a Service unequal shares.
//!
//! ```text
//! kube-portal.io/weights: "pod/web-canary-*=1, node/old=0, 10.1.2.0/24=5, *=9"
//! ```
//!
//! One that cannot be read whole counts as absent: a Service that is served evenly is better than one that is not served, and an
//! older version of the annotation may name endpoints that are no more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Subject, parse_cidr, parse_ip};
use crate::model::{EndpointSelector, WeightRule, Weights};

/// The annotation of a Service.
pub(crate) const WEIGHTS_ANNOTATION: &str = "kube-portal.io/weights";

/// The weights that a Service's annotation gives.
pub(super) fn weights(subject: &Subject, metadata: &ObjectMeta) -> Weights {
    let annotations = metadata.annotations.as_ref();
    let text = annotations
        .and_then(|annotations| annotations.get(WEIGHTS_ANNOTATION))
        .filter(|text| !text.trim().is_empty());
    let Some(text) = text else {
        return Weights::default();
    };
    let rules = text.split(',').map(str::trim).enumerate().map(|(index, entry)| {
        let field = || format!("metadata.annotations[{WEIGHTS_ANNOTATION}], entry {},", index + 1);
        rule(entry).map_err(|remedy| subject.error(field(), entry, remedy))
    });
    match rules.collect() {
        Ok(rules) => Weights::new(rules),
        Err(error) => Weights::malformed(error.to_string()),
    }
}

/// Reads `SELECTOR=WEIGHT`; an error is the remedy.
fn rule(entry: &str) -> Result<WeightRule, &'static str> {
    let (selector, weight) = entry
        .split_once('=')
        .ok_or("write SELECTOR=WEIGHT, with commas between entries")?;
    let weight = weight.trim();
    let is_number = weight.bytes().all(|byte| byte.is_ascii_digit());
    Ok(WeightRule {
        selector: selector_of(selector.trim())
            .ok_or("select by an address, a CIDR, pod/NAME, pod/PREFIX*, node/NAME or *")?,
        weight: weight
            .parse()
            .ok()
            .filter(|_| is_number)
            .ok_or("write a weight from 0 to 65535")?,
    })
}

fn selector_of(text: &str) -> Option<EndpointSelector> {
    if text == "*" {
        return Some(EndpointSelector::All);
    }
    if let Some(pods) = text.strip_prefix("pod/") {
        return match pods.strip_suffix('*') {
            Some(prefix) => {
                has_name_characters(prefix).then(|| EndpointSelector::PodPrefix(prefix.to_owned()))
            }
            None => name(pods).map(EndpointSelector::Pod),
        };
    }
    if let Some(node) = text.strip_prefix("node/") {
        return name(node).map(EndpointSelector::Node);
    }
    if text.contains('/') {
        return parse_cidr(text).map(EndpointSelector::Network);
    }
    parse_ip(text).map(EndpointSelector::address)
}

fn name(text: &str) -> Option<String> {
    (!text.is_empty() && has_name_characters(text)).then(|| text.to_owned())
}

/// What names of Pods and Nodes are made of.
fn has_name_characters(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    text.bytes().all(is_allowed)
}
