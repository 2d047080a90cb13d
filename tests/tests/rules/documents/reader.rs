//! The files of a document.

use std::{fs, path::Path};

use harness::{
    manifests,
    rules::{Names, Node, Rules},
};
use ipnet::IpNet;
use proxy_agent::model::{DetectLocal, NodeContext, compute};

use super::Document;

/// What a test has to say of a document.
pub(super) struct Setting {
    /// The files' name.
    pub(super) name: &'static str,
    /// The chain that masquerades on kube-proxy's behalf.
    pub(super) masquerades: &'static str,
    /// `--cluster-cidr`, if there was one.
    pub(super) pods: Option<&'static str>,
    /// A pod on the node.
    pub(super) pod: &'static str,
    /// The node's address.
    pub(super) node: &'static str,
    /// Its routes, besides the default one by `eth0`.
    pub(super) routes: &'static [(&'static str, &'static str)],
}

/// How a document shows rules.
pub(super) enum Form {
    /// The whole output of iptables-save.
    Saved,
    /// Lines of it.
    Lines,
    /// Listings, where names stand for these networks.
    Listings(Names),
}

pub(super) fn read(setting: &Setting, form: Form) -> Document {
    let pods: Vec<IpNet> = setting.pods.iter().map(|net| network(net)).collect();
    let context = NodeContext {
        name: "of-the-document".to_owned(),
        detect_local: DetectLocal::ClusterCidr(pods.clone()),
        ..NodeContext::default()
    };
    let objects = manifests::objects(&file(setting.name, "yaml")).expect("the manifests can be read");
    Document {
        rules: rules(setting.name, form),
        masquerades: setting.masquerades,
        desired: compute(&manifests::cluster(objects), &context),
        node: node(setting),
        pods,
        pod: setting.pod.parse().expect("an address"),
    }
}

fn rules(name: &str, form: Form) -> Rules {
    let published = without_notes(&file(name, "txt"));
    let read = match form {
        Form::Saved => Rules::from_restore(&published),
        Form::Lines => Rules::from_lines("nat", &(published + &file(name, "rest.txt"))),
        Form::Listings(names) => Rules::from_listing("nat", &published, &names)
            .and_then(|rules| rules.and(Rules::from_lines("nat", &file(name, "rest.txt"))?)),
    };
    read.unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

fn node(setting: &Setting) -> Node {
    let routes = setting.routes.iter().chain(&[("0.0.0.0/0", "eth0")]);
    Node {
        addresses: vec![setting.node.parse().expect("an address")],
        routes: routes
            .map(|(net, device)| (network(net), (*device).to_owned()))
            .collect(),
        ..Node::default()
    }
}

fn network(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| panic!("{text} is no network"))
}

fn file(name: &str, extension: &str) -> String {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/documents"));
    let path = folder.join(format!("{name}.{extension}"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Authors point at rules: `← 1` and `# note` at the end of a line are theirs.
fn without_notes(text: &str) -> String {
    let mut kept = String::new();
    for line in text.lines() {
        let line = line.split_once(" ← ").map_or(line, |(rule, _)| rule);
        let line = line.split_once("     # ").map_or(line, |(rule, _)| rule);
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}
