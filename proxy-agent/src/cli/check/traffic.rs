//! Which path each kind of traffic takes, by what the agent has told the programs.

use proxy_common::{Cookie, Settings, SocketRules};

use super::finding::Finding;

const NODE: &str = "node's own sockets";
const PODS_TCP: &str = "pods' TCP";
const PODS_UDP: &str = "pods' UDP";

/// A line for each kind.
pub(super) fn findings(settings: &Settings) -> Vec<Finding> {
    if settings.is_draining() {
        return vec![Finding::warning(
            "traffic",
            "the programs drain: they serve the connections that they have, and rules the new ones",
            "start `kube-portal run` if it is to serve this node; or else let `kube-portal cleanup --drain` end",
        )];
    }
    vec![
        node(settings),
        pods_tcp(settings),
        Finding::ok(
            PODS_UDP,
            "packet by packet: a flow can leave an endpoint that is gone, a connected socket could not",
        ),
    ]
}

fn is_at_connect(settings: &Settings, whose: SocketRules) -> bool {
    settings.netns() != Cookie::NONE && settings.sockets().has(whose)
}

fn node(settings: &Settings) -> Finding {
    if is_at_connect(settings, SocketRules::NODE) {
        return Finding::ok(NODE, "TCP and UDP at connect: nobody else translates them");
    }
    Finding::failed(
        NODE,
        "TCP and UDP are not translated: the agent has not seen its own socket caught",
        "its log says why; most often its cgroup is not below the one that the programs are attached to",
    )
}

fn pods_tcp(settings: &Settings) -> Finding {
    if settings.netns() == Cookie::NONE {
        return Finding::ok(PODS_TCP, "packet by packet, because sockets are not caught");
    }
    let why = reason(settings.sockets());
    if is_at_connect(settings, SocketRules::PODS) {
        let but = "packet by packet what is masqueraded, let in by its source, or served by nobody";
        return Finding::ok(PODS_TCP, format!("at connect ({why}); {but}"));
    }
    Finding::ok(PODS_TCP, format!("packet by packet ({why})"))
}

fn reason(rules: SocketRules) -> String {
    let meshes = [
        (SocketRules::ISTIO, "Istio"),
        (SocketRules::LINKERD, "Linkerd"),
        (SocketRules::KUMA, "Kuma"),
        (SocketRules::CONSUL, "Consul"),
    ];
    let mesh = meshes.into_iter().find(|(bit, _)| rules.has(*bit));
    match mesh {
        Some((_, mesh)) => format!("{mesh} is installed, which has to see Services' addresses"),
        None if !rules.has(SocketRules::AUTO) => "by --socket-lb".to_owned(),
        None if rules.has(SocketRules::PODS) => "no service mesh is installed".to_owned(),
        None => "it is not known yet whether a service mesh is installed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proxy_common::snat::PortPool;

    use super::{super::finding::State, *};

    fn settings(netns: u64, rules: SocketRules) -> Settings {
        Settings::new(PortPool::new([]), 1, 1).with_sockets(Cookie::new(netns), rules)
    }

    fn lines(settings: &Settings) -> Vec<String> {
        findings(settings).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_kind_of_traffic_has_its_path() {
        let all = lines(&settings(7, SocketRules::NODE.with(SocketRules::PODS)));
        assert!(
            all[0].starts_with("ok      node's own sockets: TCP and UDP at connect"),
            "{all:?}"
        );
        assert!(all[1].starts_with("ok      pods' TCP: at connect"), "{all:?}");
        assert!(
            all[2].starts_with("ok      pods' UDP: packet by packet"),
            "{all:?}"
        );
    }

    #[test]
    fn why_pods_are_at_connect_or_left_to_devices_is_told() {
        let told = |rules: SocketRules| lines(&settings(7, SocketRules::NODE.with(rules))).swap_remove(1);
        let auto = SocketRules::AUTO;
        for (rules, expected) in [
            (SocketRules::NONE, "packet by packet (by --socket-lb)"),
            (SocketRules::PODS, "at connect (by --socket-lb)"),
            (auto, "packet by packet (it is not known yet"),
            (
                auto.with(SocketRules::PODS),
                "at connect (no service mesh is installed)",
            ),
            (
                auto.with(SocketRules::ISTIO),
                "packet by packet (Istio is installed",
            ),
            (auto.with(SocketRules::LINKERD), "packet by packet (Linkerd is"),
            (auto.with(SocketRules::KUMA), "packet by packet (Kuma is"),
            (auto.with(SocketRules::CONSUL), "packet by packet (Consul is"),
        ] {
            let line = told(rules);
            assert!(line.contains(expected), "{line}");
        }
        let blind = lines(&settings(0, SocketRules::NODE.with(SocketRules::PODS)));
        assert!(blind[1].contains("because sockets are not caught"), "{blind:?}");
    }

    #[test]
    fn a_node_whose_sockets_are_not_caught_has_failed() {
        for settings in [settings(0, SocketRules::NODE), settings(7, SocketRules::NONE)] {
            assert_eq!(findings(&settings)[0].state, State::Failed);
        }
    }

    #[test]
    fn a_draining_node_is_warned_of_and_no_path_is_claimed() {
        let found = findings(&settings(7, SocketRules::NODE).with_draining(true));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].state, State::Warning);
    }
}
