//! A random Service that an API server takes, and whose addresses and ports no other Service has.

use harness::apiserver::{Write, objects};
use proxy_agent::model::Family;
use serde_json::{Value, json};

use crate::dice::Dice;

/// Names and protocols of ports. A Service of one port may leave it without a name.
pub(crate) const PORTS: [(&str, &str); 4] = [("a", "TCP"), ("b", "UDP"), ("c", "SCTP"), ("d", "TCP")];

const RANGES: [&str; 5] = [
    "192.168.50.0/24",
    "203.0.113.7/32",
    "0.0.0.0/0",
    "2001:db8::/64",
    "fd00:50::/64",
];
const FAMILIES: [&[Family]; 6] = [
    &[Family::V4],
    &[Family::V6],
    &[Family::V4, Family::V6],
    &[Family::V4, Family::V6],
    &[Family::V6, Family::V4],
    &[Family::V6, Family::V4],
];
/// So many Services may be there at a time; those with numbers this far apart share node ports.
const NODE_PORT_BLOCKS: u32 = 550;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ClusterIp,
    NodePort,
    LoadBalancer,
    Headless,
    ExternalName,
}

/// Everything of a Service that decides about rules.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    namespace: String,
    /// No Service gets it again.
    number: u32,
    families: &'static [Family],
    kind: Kind,
    /// It is another proxy's.
    is_foreign: bool,
    /// Indices into [`PORTS`].
    ports: Vec<usize>,
    has_names: bool,
    first_port: u32,
    internal_policy: &'static str,
    external_policy: &'static str,
    affinity: Option<u32>,
    external_ips: Vec<Family>,
    balancer_ips: Vec<(Family, Option<&'static str>)>,
    source_ranges: Vec<&'static str>,
    has_node_ports: bool,
}

impl Service {
    pub(crate) fn random(dice: &mut Dice, namespace: &str, number: u32) -> Self {
        let mut service = Self {
            namespace: namespace.to_owned(),
            number,
            families: dice.one_of(&FAMILIES),
            kind: Kind::ClusterIp,
            is_foreign: false,
            ports: vec![0],
            has_names: true,
            first_port: 80,
            internal_policy: "Cluster",
            external_policy: "Cluster",
            affinity: None,
            external_ips: Vec::new(),
            balancer_ips: Vec::new(),
            source_ranges: Vec::new(),
            has_node_ports: true,
        };
        for field in 0..FIELDS {
            service.choose(dice, field);
        }
        if dice.percent(6) {
            service.kind = dice.one_of(&[Kind::Headless, Kind::ExternalName]);
        }
        service
    }

    /// Chooses something in it anew.
    pub(crate) fn change(&mut self, dice: &mut Dice) {
        let field = dice.below(FIELDS);
        self.choose(dice, field);
    }

    pub(crate) fn name(&self) -> String {
        format!("s{}", self.number)
    }

    pub(crate) const fn families(&self) -> &'static [Family] {
        self.families
    }

    /// The writes that make the API server's Service this one.
    pub(crate) fn writes(&self) -> Vec<Write> {
        let mut writes = vec![Write::Apply(self.document())];
        if self.kind == Kind::LoadBalancer {
            let status = json!({"loadBalancer": {"ingress": self.ingress()}});
            writes.push(Write::Status(self.document(), status));
        }
        writes
    }

    pub(crate) fn document(&self) -> Value {
        let mut document = objects::service(&self.namespace, &self.name(), &self.spec());
        if self.is_foreign {
            document["metadata"]["labels"] = json!({"service.kubernetes.io/service-proxy-name": "other"});
        }
        document
    }

    fn choose(&mut self, dice: &mut Dice, field: usize) {
        match field {
            0 => self.choose_kind(dice),
            1 => self.choose_ports(dice),
            2 => self.internal_policy = dice.one_of(&["Cluster", "Cluster", "Local"]),
            3 => self.external_policy = dice.one_of(&["Cluster", "Local"]),
            4 => self.affinity = dice.one_of(&[None, None, Some(1), Some(10_800), Some(86_400)]),
            5 => self.external_ips = dice.some_of(35, &Family::ALL),
            6 => self.choose_balancer_ips(dice),
            7 => self.source_ranges = dice.some_of(25, &RANGES),
            8 => self.has_node_ports = dice.percent(80),
            _ => self.is_foreign = dice.percent(5),
        }
    }

    /// One without an address stays so.
    fn choose_kind(&mut self, dice: &mut Dice) {
        if !self.is_plain() {
            self.kind = dice.one_of(&[
                Kind::ClusterIp,
                Kind::NodePort,
                Kind::LoadBalancer,
                Kind::LoadBalancer,
            ]);
        }
    }

    fn choose_ports(&mut self, dice: &mut Dice) {
        self.ports = dice.some_of(40, &[0, 1, 2, 3]);
        if self.ports.is_empty() {
            self.ports.push(0);
        }
        self.has_names = self.ports.len() > 1 || dice.percent(70);
        self.first_port = dice.one_of(&[80, 443, 1000]);
    }

    fn choose_balancer_ips(&mut self, dice: &mut Dice) {
        let families = dice.some_of(70, &Family::ALL);
        let modes = [None, Some("VIP"), Some("Proxy")];
        self.balancer_ips = families
            .into_iter()
            .map(|family| (family, dice.one_of(&modes)))
            .collect();
    }

    const fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Headless | Kind::ExternalName)
    }

    fn spec(&self) -> Value {
        if self.kind == Kind::ExternalName {
            return json!({"type": "ExternalName", "externalName": "elsewhere.example"});
        }
        if self.kind == Kind::Headless {
            return json!({"clusterIP": "None", "ports": self.ports()});
        }
        let cluster_ips: Vec<_> = self
            .families
            .iter()
            .map(|family| self.cluster_ip(*family))
            .collect();
        let policy = if cluster_ips.len() == 1 {
            "SingleStack"
        } else {
            "RequireDualStack"
        };
        let families = self.families.iter().map(|family| match family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        });
        let mut spec = json!({
            "type": match self.kind {
                Kind::NodePort => "NodePort",
                Kind::LoadBalancer => "LoadBalancer",
                _ => "ClusterIP",
            },
            "clusterIP": cluster_ips[0], "clusterIPs": cluster_ips,
            "ipFamilyPolicy": policy, "ipFamilies": families.collect::<Vec<_>>(),
            "internalTrafficPolicy": self.internal_policy, "ports": self.ports(),
        });
        self.add_optional(&mut spec);
        spec
    }

    fn add_optional(&self, spec: &mut Value) {
        if let Some(seconds) = self.affinity {
            spec["sessionAffinity"] = json!("ClientIP");
            spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": seconds}});
        }
        if !self.external_ips.is_empty() {
            let external_ip = |family: &Family| self.address(*family, "198.18", "2001:db8:18");
            spec["externalIPs"] = self.external_ips.iter().map(external_ip).collect();
        }
        if self.kind != Kind::ClusterIp || !self.external_ips.is_empty() {
            spec["externalTrafficPolicy"] = json!(self.external_policy);
        }
        if self.kind == Kind::LoadBalancer {
            spec["allocateLoadBalancerNodePorts"] = json!(self.has_node_ports);
            if !self.source_ranges.is_empty() {
                spec["loadBalancerSourceRanges"] = json!(self.source_ranges);
            }
            if self.external_policy == "Local" {
                spec["healthCheckNodePort"] = json!(self.node_port(PORTS.len()));
            }
        }
    }

    fn ports(&self) -> Value {
        let has_node_ports = match self.kind {
            Kind::NodePort => true,
            Kind::LoadBalancer => self.has_node_ports,
            _ => false,
        };
        let port = |&index: &usize| {
            let (name, protocol) = PORTS[index];
            let port = self.first_port + u32::try_from(index).expect("few ports");
            let mut port = json!({"port": port, "protocol": protocol});
            if self.has_names {
                port["name"] = json!(name);
            }
            if has_node_ports {
                port["nodePort"] = json!(self.node_port(index));
            }
            port
        };
        self.ports.iter().map(port).collect()
    }

    fn node_port(&self, index: usize) -> u32 {
        let each = u32::try_from(PORTS.len() + 1).expect("few ports");
        30_000 + self.number % NODE_PORT_BLOCKS * each + u32::try_from(index).expect("few ports")
    }

    fn ingress(&self) -> Value {
        let ingress = |(family, mode): &(Family, Option<&str>)| {
            let mut ingress = json!({"ip": self.address(*family, "198.19", "2001:db8:19")});
            if let Some(mode) = mode {
                ingress["ipMode"] = json!(mode);
            }
            ingress
        };
        self.balancer_ips.iter().map(ingress).collect()
    }

    fn cluster_ip(&self, family: Family) -> String {
        self.address(family, "10.96", "fd00:10:96")
    }

    fn address(&self, family: Family, v4: &str, v6: &str) -> String {
        match family {
            Family::V4 => format!("{v4}.{}.{}", 1 + self.number / 250, 1 + self.number % 250),
            Family::V6 => format!("{v6}::{:x}", 0x1000 + self.number),
        }
    }
}

/// What [`Service::choose`] chooses among.
const FIELDS: usize = 10;
