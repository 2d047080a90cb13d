//! Addresses that more than one Service port names.

use proxy_agent::{
    dataplane::iptables::render::{Extent, Renderer},
    model::{ClusterEvent, Family, ObjectKind, ObjectName, ObjectRef},
};

use super::{History, objects, service, settings, slice};

#[test]
fn whoever_is_served_at_an_address_comes_before_all_who_are_not() {
    let mut history = History::of(objects(&[
        service("a", "10.96.0.1", "externalIPs: [10.96.0.9, 203.0.113.1]"),
        slice("a", &["10.0.0.1".to_owned()]),
        service("b", "10.96.0.2", "externalIPs: [203.0.113.1]"),
        slice("b", &["10.0.0.2".to_owned()]),
        service("c", "10.96.0.9", ""),
        slice("c", &["10.0.0.3".to_owned()]),
    ]));
    let mut renderer = Renderer::new(settings(Family::V4));
    renderer.render_all(history.plan.desired(), &[]);
    let of_a_b_and_c = [
        "x/a:p cluster IP 10.96.0.1",
        "x/a:p external IP 203.0.113.1",
        "x/b:p cluster IP 10.96.0.2",
        "x/c:p cluster IP 10.96.0.9",
        "x/a:p external IP 10.96.0.9",
        "x/b:p external IP 203.0.113.1",
    ];
    assert_eq!(caught(&renderer), of_a_b_and_c);

    let name = ObjectName::new("x", "a");
    let gone = ClusterEvent::Delete(ObjectRef {
        kind: ObjectKind::Service,
        name,
    });
    history.handle(gone, std::slice::from_mut(&mut renderer));
    let of_b_and_c = [
        "x/b:p cluster IP 10.96.0.2",
        "x/b:p external IP 203.0.113.1",
        "x/c:p cluster IP 10.96.0.9",
    ];
    assert_eq!(caught(&renderer), of_b_and_c);
}

#[test]
fn who_is_not_served_is_refused_after_those_who_are() {
    let history = History::of(objects(&[
        service("a", "10.96.0.1", "externalIPs: [10.96.0.9]"),
        service("c", "10.96.0.9", ""),
    ]));
    let mut renderer = Renderer::new(settings(Family::V4));
    renderer.render_all(history.plan.desired(), &[]);
    let text = renderer.text(Extent::Full, &[]);
    let refused: Vec<&str> = text.lines().filter(|line| line.contains("-j REJECT")).collect();
    let expected = [
        "-A KUBE-SERVICES -m comment --comment \"x/a:p has no endpoints\" -m tcp -p tcp -d 10.96.0.1 --dport 80 -j REJECT",
        "-A KUBE-SERVICES -m comment --comment \"x/c:p has no endpoints\" -m tcp -p tcp -d 10.96.0.9 --dport 80 -j REJECT",
        "-A KUBE-EXTERNAL-SERVICES -m comment --comment \"x/a:p has no endpoints\" -m tcp -p tcp -d 10.96.0.9 --dport 80 -j REJECT",
    ];
    assert_eq!(refused, expected);
}

#[test]
fn who_gives_an_address_up_has_no_rule_for_it_any_more() {
    let ips = |ips: &str| service("a", "10.96.0.1", &format!("externalIPs: [{ips}]"));
    let mut history = History::of(objects(&[
        ips("203.0.113.1, 203.0.113.2"),
        slice("a", &["10.0.0.1".to_owned()]),
    ]));
    follows(&mut history, &ips("203.0.113.2"), "x/a:p external IP 203.0.113.2");
}

#[test]
fn who_is_served_nowhere_has_rules_that_follow_its_changes_all_the_same() {
    let sticky = service("b", "10.96.0.1", "sessionAffinity: ClientIP");
    for change in [sticky, slice("b", &["10.0.0.3".to_owned()])] {
        let mut history = History::of(objects(&[
            service("a", "10.96.0.1", ""),
            service("b", "10.96.0.1", ""),
            slice("b", &["10.0.0.2".to_owned()]),
        ]));
        follows(&mut history, &change, "x/b:p cluster IP 10.96.0.1");
    }
}

/// Rules that follow a change are those of the state after it, other than before, and the last that is caught is `last`.
#[track_caller]
fn follows(history: &mut History, change: &str, last: &str) {
    let anew = |history: &History| {
        let mut renderer = Renderer::new(settings(Family::V4));
        renderer.render_all(history.plan.desired(), &[]);
        renderer
    };
    let mut renderer = anew(history);
    let before = renderer.text(Extent::Full, &[]);
    for object in objects(&[change.to_owned()]) {
        history.handle(ClusterEvent::Apply(object), std::slice::from_mut(&mut renderer));
    }
    let after = renderer.text(Extent::Full, &[]);
    assert_ne!(after, before);
    assert_eq!(after, anew(history).text(Extent::Full, &[]));
    assert_eq!(caught(&renderer).last().map(String::as_str), Some(last));
}

/// What the rules of KUBE-SERVICES say that they are for, and at which address.
fn caught(renderer: &Renderer) -> Vec<String> {
    let text = renderer.text(Extent::Full, &[]);
    let rules = text
        .lines()
        .filter_map(|line| line.strip_prefix("-A KUBE-SERVICES -m comment --comment \""));
    let parts = rules.filter_map(|rule| {
        let (comment, rest) = rule.split_once("\" ")?;
        let address = rest.split_once("-d ")?.1.split(' ').next()?;
        Some(format!("{comment} {address}"))
    });
    parts.collect()
}
