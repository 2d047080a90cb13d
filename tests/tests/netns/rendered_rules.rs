//! The rendered rules, given to the real programs: the kernel takes them, and lists what was meant.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use harness::{iptables::Iptables, manifests, netns::NetNs};
use proxy_agent::{
    dataplane::iptables::render::{Extent, Renderer, Settings, names::is_service_chain},
    model::{DetectLocal, Family, NodeContext, compute},
};

/// Comments and targets of the rules of each chain, in their order.
type Chains = BTreeMap<String, Vec<(String, String)>>;

#[test]
fn nft_takes_the_rules_and_lists_them() {
    the_kernel_takes_the_rules(Iptables::Nft);
}

#[test]
fn legacy_takes_the_rules_and_lists_them() {
    the_kernel_takes_the_rules(Iptables::Legacy);
}

fn the_kernel_takes_the_rules(iptables: Iptables) {
    if !iptables.is_installed() {
        let reason = format!("no {iptables:?} iptables: install iptables");
        harness::skip::skipped("rendered_rules", &reason);
        return;
    }
    let [ns] = NetNs::create_all(["rules"]).unwrap();
    for family in Family::ALL {
        let mut renderer = renderer(family);
        for cluster in ["every-kind", "weights", "six-services", "every-kind"] {
            render(&mut renderer, cluster);
            let before = listed(iptables, &ns, family, "nat");
            let stale: Vec<String> = before
                .keys()
                .filter(|chain| is_stale(&renderer, chain))
                .cloned()
                .collect();
            iptables
                .restore(&ns, family, &renderer.text(Extent::Partial, &stale))
                .unwrap();
            renderer.written();
            are_as_rendered(iptables, &ns, family, &renderer);
        }
        assert!(renderer.rule_counts(Extent::Full).nat > 100);
    }
}

fn are_as_rendered(iptables: Iptables, ns: &NetNs, family: Family, renderer: &Renderer) {
    let text = renderer.text(Extent::Full, &[]);
    for (part, table) in text.split("COMMIT\n").zip(["filter", "nat"]) {
        let rendered = chains(part);
        let mut listed = listed(iptables, ns, family, table);
        listed.retain(|chain, _| chain.starts_with("KUBE-"));
        assert_eq!(listed, rendered, "{iptables:?} {family:?} {table}");
    }
}

fn is_stale(renderer: &Renderer, chain: &str) -> bool {
    is_service_chain(chain) && !renderer.is_active(chain)
}

fn renderer(family: Family) -> Renderer {
    Renderer::new(Settings::of(family))
}

fn render(renderer: &mut Renderer, cluster: &str) {
    let cidrs = ["10.0.0.0/8", "fd00:10::/64"];
    let context = NodeContext {
        name: "here".to_owned(),
        detect_local: DetectLocal::ClusterCidr(cidrs.map(|cidr| cidr.parse().unwrap()).into()),
        ..NodeContext::default()
    };
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/model/render/golden");
    let yaml = fs::read_to_string(directory.join(format!("{cluster}.yaml"))).unwrap();
    let objects = manifests::objects(&yaml).unwrap();
    renderer.render_all(&compute(&manifests::cluster(objects), &context), &[]);
}

fn listed(iptables: Iptables, ns: &NetNs, family: Family, table: &str) -> Chains {
    chains(&iptables.run(ns, family, &format!("-t {table} -S")).unwrap())
}

/// Of what `iptables -S` lists, or of what `iptables-restore` reads.
fn chains(text: &str) -> Chains {
    let mut chains = Chains::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("-N"), Some(chain)) => drop(chains.insert(chain.to_owned(), Vec::new())),
            (Some("-A"), Some(chain)) => chains.entry(chain.to_owned()).or_default().push(rule(line)),
            (Some(chain), Some("-")) => drop(chains.insert(chain[1..].to_owned(), Vec::new())),
            _ => {}
        }
    }
    chains
}

fn rule(line: &str) -> (String, String) {
    let after = |flag: &str| line.split_once(flag).map_or("", |(_, rest)| rest);
    let comment = match after("--comment ").strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => after("--comment ").split(' ').next(),
    };
    let target = after(" -j ").split(' ').next();
    (
        comment.unwrap_or_default().to_owned(),
        target.unwrap_or_default().to_owned(),
    )
}
