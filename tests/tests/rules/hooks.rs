//! The order of the kernel's stations.

use harness::rules::{Answer, Fate, Outcome, Packet};

use crate::scene::{arriving, ask, endpoint, node, own, rules};

/// Sends port 80 to a pod, port 81 to the node itself, and masquerades what it has marked: all that comes to port 80 by `eth0`. The
/// filter refuses port 90 before, and 8080 behind, the rewriting, and sees the mark that is gone in the end.
const RULES: &str = "*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:SVC - [0:0]
-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j MARK --or-mark 0x4000
-A PREROUTING -j SVC
-A OUTPUT -j SVC
-A SVC -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.9:8000
-A SVC -p tcp -m tcp --dport 81 -j DNAT --to-destination 192.0.2.1
-A SVC -p tcp -m tcp --dport 82 -j DNAT --to-destination 10.0.0.9:8080
-A POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A POSTROUTING -j MARK --xor-mark 0x4000
-A POSTROUTING -j MASQUERADE --random-fully
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 90 -j REJECT
-A INPUT -i lo -p tcp -m tcp --dport 91 -j DROP
-A FORWARD -p tcp -m tcp --dport 8080 -j DROP
-A FORWARD -i eth0 -p tcp -m tcp --dport 8000 -m mark ! --mark 0x4000/0x4000 -j DROP
-A FORWARD -m conntrack ! --ctstate DNAT -j REJECT
-A OUTPUT -p tcp -m tcp --dport 90 -j DROP
COMMIT
";

fn check(packet: &Packet, fate: Fate, masqueraded_by: Option<&str>) {
    let expected = Outcome {
        fate,
        masqueraded_by: masqueraded_by.map(str::to_owned),
        remembered_in: [].into(),
    };
    let answer = ask(&rules(RULES), &node(), packet);
    assert_eq!(answer, Answer([(expected, 1.0)].into()), "{packet:?}: {answer}");
}

#[test]
fn what_arrives_is_rewritten_filtered_and_masqueraded() {
    let outsider = "203.0.113.5:40000";
    check(
        &arriving(outsider, "198.51.100.1:80"),
        endpoint("10.0.0.9:8000"),
        Some("POSTROUTING"),
    );
    let pod = arriving(outsider, "198.51.100.1:80").from_interface("cni0");
    check(&pod, endpoint("10.0.0.9:8000"), None);
    check(&arriving(outsider, "198.51.100.1:82"), Fate::Dropped, None);
    check(&arriving(outsider, "198.51.100.1:99"), Fate::Rejected, None);
}

#[test]
fn what_is_rewritten_to_the_node_comes_to_its_input() {
    check(
        &arriving("203.0.113.5:1", "198.51.100.1:81"),
        endpoint("192.0.2.1:81"),
        None,
    );
    check(&arriving("203.0.113.5:1", "192.0.2.1:90"), Fate::Rejected, None);
    check(&arriving("203.0.113.5:1", "192.0.2.1:91"), Fate::Untouched, None);
}

#[test]
fn what_the_node_sends_goes_through_output() {
    check(
        &own("192.0.2.1:1", "198.51.100.1:80"),
        endpoint("10.0.0.9:8000"),
        None,
    );
    check(&own("192.0.2.1:1", "198.51.100.1:90"), Fate::Dropped, None);
    check(
        &own("192.0.2.1:1", "198.51.100.1:82"),
        endpoint("10.0.0.9:8080"),
        None,
    );
}

#[test]
fn what_the_node_sends_to_itself_is_input_too() {
    check(&own("192.0.2.1:1", "127.0.0.1:91"), Fate::Dropped, None);
    check(&own("192.0.2.1:1", "192.0.2.1:92"), Fate::Untouched, None);
}

#[test]
fn ipv6_is_rewritten_to_addresses_in_brackets() {
    let text = "*nat\n:PREROUTING ACCEPT\n:POSTROUTING ACCEPT\n\
        -A PREROUTING -d fd00::1/128 -j DNAT --to-destination [fd00:10::1]:8080\n\
        -A PREROUTING -d fd00::2/128 -j DNAT --to-destination fd00:10::2\nCOMMIT\n";
    for (to, expected) in [
        ("[fd00::1]:80", "[fd00:10::1]:8080"),
        ("[fd00::2]:80", "[fd00:10::2]:80"),
    ] {
        let answer = ask(&rules(text), &node(), &arriving("[2001:db8::5]:1", to));
        assert_eq!(answer.fates(), [(endpoint(expected), 1.0)].into());
    }
}
