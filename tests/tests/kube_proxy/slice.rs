//! A random EndpointSlice of a Service.

use harness::apiserver::objects;
use proxy_agent::model::Family;
use serde_json::{Value, json};

use crate::{
    dice::Dice,
    service::{PORTS, Service},
    twins::NODE,
};

/// So many addresses a slice chooses among, some more than once. Slices of a Service have none in common: which one counts is up to the order in which
/// kube-proxy happens to see them.
const ADDRESSES: usize = 8;

/// An EndpointSlice.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    namespace: String,
    service: String,
    family: Family,
    number: usize,
    ports: Value,
    endpoints: Vec<Value>,
}

impl Slice {
    /// The `number`th slice of a Service.
    pub(crate) fn random(dice: &mut Dice, namespace: &str, service: &Service, number: usize) -> Self {
        let mut slice = Self {
            namespace: namespace.to_owned(),
            service: service.name(),
            family: dice.one_of(service.families()),
            number,
            ports: ports(dice),
            endpoints: Vec::new(),
        };
        slice.choose_endpoints(dice);
        slice
    }

    /// Chooses something in it anew.
    pub(crate) fn change(&mut self, dice: &mut Dice) {
        match dice.below(6) {
            0 => self.ports = ports(dice),
            1 => self.choose_endpoints(dice),
            2 => {
                let endpoint = self.endpoint(dice);
                self.endpoints.push(endpoint);
            }
            _ if self.endpoints.is_empty() => self.choose_endpoints(dice),
            3 => drop(self.endpoints.remove(dice.below(self.endpoints.len()))),
            _ => {
                let index = dice.below(self.endpoints.len());
                let mut endpoint = self.endpoint(dice);
                endpoint["addresses"] = self.endpoints[index]["addresses"].clone();
                self.endpoints[index] = endpoint;
            }
        }
    }

    pub(crate) fn document(&self) -> Value {
        let name = format!("{}-{}", self.service, self.number);
        let mut document = objects::slice(
            &self.namespace,
            &name,
            &self.service,
            &self.ports,
            &json!(self.endpoints),
        );
        document["addressType"] = json!(match self.family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        });
        document
    }

    fn choose_endpoints(&mut self, dice: &mut Dice) {
        let count = dice.below(7);
        let hinted = dice.percent(40);
        self.endpoints.clear();
        for _ in 0..count {
            let mut endpoint = self.endpoint(dice);
            if hinted {
                add_hints(dice, &mut endpoint);
            }
            self.endpoints.push(endpoint);
        }
    }

    fn endpoint(&self, dice: &mut Dice) -> Value {
        // From 7 to 14 of the first slice: texts and numbers are not in the same order.
        let last = 7 + self.number * ADDRESSES + dice.below(ADDRESSES);
        let address = match self.family {
            Family::V4 => format!("10.244.1.{last}"),
            Family::V6 => format!("fd00:10:244::{last:x}"),
        };
        let mut endpoint = json!({"addresses": [address], "conditions": conditions(dice)});
        match dice.below(3) {
            0 => {}
            1 => endpoint["nodeName"] = json!(NODE),
            _ => endpoint["nodeName"] = json!("node2"),
        }
        if dice.percent(10) {
            add_hints(dice, &mut endpoint);
        }
        endpoint
    }
}

fn conditions(dice: &mut Dice) -> Value {
    dice.one_of(&[
        json!({}),
        json!({"ready": true}),
        json!({"ready": true, "serving": true, "terminating": false}),
        json!({"ready": false, "serving": true, "terminating": true}),
        json!({"ready": false, "serving": true, "terminating": true}),
        json!({"ready": false, "serving": false, "terminating": true}),
        json!({"ready": false, "serving": true, "terminating": false}),
        json!({"ready": false}),
        json!({"ready": true, "serving": true, "terminating": true}),
    ])
}

fn add_hints(dice: &mut Dice, endpoint: &mut Value) {
    let named = |names: Vec<&str>| names.iter().map(|name| json!({"name": name})).collect();
    let zones: Value = named(dice.some_of(60, &["a", "b"]));
    let nodes: Value = named(dice.some_of(30, &[NODE, "node2"]));
    let mut hints = json!({"forZones": zones});
    if nodes != json!([]) {
        hints["forNodes"] = nodes;
    }
    endpoint["hints"] = hints;
}

/// Each with another number for each protocol and name, or one that the Service does not have.
fn ports(dice: &mut Dice) -> Value {
    let unnamed = ("", "TCP");
    let names: Vec<_> = PORTS.into_iter().chain([unnamed]).collect();
    let port = |(name, protocol): &(&str, &str)| {
        let number = dice.one_of(&[8080, 8081, 9000]);
        json!({"name": name, "port": number, "protocol": protocol})
    };
    let mut ports: Vec<_> = names.iter().map(port).collect();
    ports.retain(|_| dice.percent(80));
    Value::Array(ports)
}
