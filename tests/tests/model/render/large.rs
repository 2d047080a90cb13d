//! Clusters with so many endpoints that the rules that choose among them have no comments.

use proxy_agent::{
    dataplane::iptables::render::{Extent, Renderer},
    model::{ClusterEvent, Family},
};

use super::{History, objects, service, settings, slice};

#[test]
fn the_rules_of_more_than_a_thousand_endpoints_have_no_comments() {
    let mut history = History::of(objects(&[
        service("big", "10.96.0.1", ""),
        slice("big", &addresses(0, 1000)),
        service("little", "10.96.0.2", ""),
    ]));
    let mut renderer = Renderer::new(settings(Family::V4));
    renderer.render_all(history.plan.desired(), &[]);
    let small = renderer.text(Extent::Full, &[]);
    renderer.written();
    assert!(!renderer.is_large());
    assert_eq!(commented(&small), 3 * 1000);

    let [one_more] = &objects(&[slice("little", &addresses(1, 1))])[..] else {
        panic!("one object")
    };
    history.handle(
        ClusterEvent::Apply(one_more.clone()),
        std::slice::from_mut(&mut renderer),
    );
    assert!(renderer.is_large());
    let large = renderer.text(Extent::Partial, &[]);
    let full = renderer.text(Extent::Full, &[]);
    assert!(large == full, "not all chains are written anew");
    assert_eq!(commented(&large), 0);
    for rule in [
        "-A KUBE-SERVICES -m comment --comment \"x/big:p cluster IP\" -m tcp -p tcp -d 10.96.0.1 --dport 80 -j KUBE-SVC-",
        " -m statistic --mode random --probability 0.0010000000 -j KUBE-SEP-",
        " -m tcp -p tcp -j DNAT --to-destination 10.0.3.250:8080\n",
    ] {
        assert!(large.contains(rule), "{rule}");
    }
}

fn addresses(network: usize, count: usize) -> Vec<String> {
    let address = |host| format!("10.{network}.{}.{}", host / 250, host % 250 + 1);
    (0..count).map(address).collect()
}

/// Rules that choose an endpoint or send to it and say whose they are.
fn commented(text: &str) -> usize {
    let choosing = |line: &&str| line.contains(" -> ") || line.starts_with("-A KUBE-SEP-");
    let lines = text.lines().filter(choosing);
    lines.filter(|line| line.contains("--comment")).count()
}
