//! Each word of iptables-restore and iptables-save, and each that is not known.

use harness::rules::{Fate, Node, Packet, Rules};
use proxy_agent::model::Protocol;

use crate::scene::{arriving, ask, fate, node, own, rules};

/// A filter whose INPUT and OUTPUT have one rule that drops.
fn dropping(words: &str) -> Rules {
    rules(&format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [12:345]\n:FORWARD ACCEPT\n\
         -A INPUT {words} -j DROP\n-A OUTPUT {words} -j DROP\n-A FORWARD {words} -j DROP\nCOMMIT\n"
    ))
}

/// The rule takes the first packet and not the second; with `!` where it says so, the other way round.
fn check(words: &str, taken: &Packet, left: &Packet) {
    let plain = dropping(&words.replace("[!] ", ""));
    assert_eq!(fate(&plain, taken), Fate::Dropped, "{words}");
    assert_eq!(fate(&plain, left), Fate::Untouched, "{words}");
    if words.contains("[!] ") {
        let negated = dropping(&words.replace("[!]", "!"));
        assert_eq!(fate(&negated, taken), Fate::Untouched, "not {words}");
        assert_eq!(fate(&negated, left), Fate::Dropped, "not {words}");
    }
}

fn web() -> Packet {
    arriving("10.0.0.5:40000", "192.0.2.1:80")
}

fn other_port() -> Packet {
    arriving("10.0.0.5:40001", "192.0.2.1:81")
}

fn elsewhere() -> Packet {
    arriving("203.0.113.5:40000", "198.51.100.1:80")
}

fn udp() -> Packet {
    Packet {
        protocol: Protocol::Udp,
        ..web()
    }
}

#[test]
fn addresses_are_matched_by_their_networks() {
    check("[!] -s 10.0.0.0/8", &web(), &elsewhere());
    check("[!] -s 10.0.0.5", &web(), &elsewhere());
    check("[!] -d 192.0.2.1/32", &web(), &elsewhere());
}

#[test]
fn addresses_of_ipv6_are_matched_by_their_networks() {
    let here = arriving("[fd00::5]:40000", "[2001:db8::1]:80");
    let there = arriving("[fd01::5]:40000", "[2001:db8::1]:80");
    check("[!] -s fd00::/64", &here, &there);
    check("[!] -s fd00::5", &here, &there);
}

#[test]
fn protocols_and_ports_are_matched() {
    check("[!] -p tcp", &web(), &udp());
    check("-m tcp -p tcp [!] --dport 80", &web(), &other_port());
    check("-p tcp -m tcp [!] --dport 70:80", &web(), &other_port());
    check("-p tcp -m tcp [!] --sport 40000", &web(), &other_port());
    check("-p udp -m udp --dport 80", &udp(), &web());
}

#[test]
fn interfaces_are_matched_by_name_or_prefix() {
    let pod = web().from_interface("cali7");
    check("[!] -i eth0", &web(), &pod);
    check("[!] -i cali+", &pod, &web());
    let to_pod = arriving("203.0.113.5:1", "10.0.0.9:80");
    check("[!] -o cni0", &to_pod, &elsewhere());
}

#[test]
fn what_the_node_sends_comes_from_no_interface() {
    let rule = "*filter\n:OUTPUT ACCEPT\n-A OUTPUT ! -i eth0 -j DROP\nCOMMIT\n";
    assert_eq!(
        fate(&rules(rule), &own("192.0.2.1:1", "203.0.113.9:80")),
        Fate::Dropped
    );
}

#[test]
fn the_types_of_addresses_tell_the_node_from_others() {
    check("-m addrtype [!] --dst-type LOCAL", &web(), &elsewhere());
    let own = own("192.0.2.1:1", "203.0.113.9:80");
    check("-m addrtype [!] --src-type LOCAL", &own, &elsewhere());
    let looped = arriving("127.0.0.1:1", "203.0.113.9:80");
    check("-m addrtype --src-type LOCAL", &looped, &elsewhere());
}

#[test]
fn every_packet_is_new_and_goes_in_the_original_direction() {
    for words in [
        "! --ctstate RELATED,ESTABLISHED",
        "--ctstate NEW",
        "--ctdir ORIGINAL",
    ] {
        assert_eq!(
            fate(&dropping(&format!("-m conntrack {words}")), &web()),
            Fate::Dropped
        );
    }
    for words in [
        "--ctstate INVALID",
        "! --ctstate NEW,UNTRACKED",
        "--ctstate DNAT,SNAT",
    ] {
        assert_eq!(
            fate(&dropping(&format!("-m conntrack {words}")), &web()),
            Fate::Untouched
        );
    }
}

#[test]
fn bridge_ports_are_known() {
    let bridged = Packet {
        from_bridge_port: true,
        ..web()
    };
    check("-m physdev [!] --physdev-is-in", &bridged, &web());
}

#[test]
fn comments_and_counters_match_everything() {
    let words = r#"-m comment --comment "ns/\"svc\": -j ACCEPT; not the last" -m comment --comment bare -m nfacct --nfacct-name packets"#;
    assert_eq!(fate(&dropping(words), &web()), Fate::Dropped);
}

#[test]
fn a_share_of_packets_is_taken_by_chance() {
    let answer = ask(
        &dropping("-m statistic --mode random --probability 0.25"),
        &node(),
        &web(),
    );
    assert_eq!(
        answer.fates(),
        [(Fate::Dropped, 0.25), (Fate::Untouched, 0.75)].into()
    );
    let answer = ask(
        &dropping("-m statistic --mode random ! --probability 0.25"),
        &node(),
        &web(),
    );
    assert_eq!(
        answer.fates(),
        [(Fate::Dropped, 0.75), (Fate::Untouched, 0.25)].into()
    );
}

/// What `operations` make of a mark that is 0 before, told by a test of all bits.
fn mark_is(operations: &[&str], expected: u32) {
    let marks: String = operations
        .iter()
        .map(|at| format!("-A INPUT -j MARK {at}\n"))
        .collect();
    let text =
        format!("*filter\n:INPUT ACCEPT\n{marks}-A INPUT -m mark --mark {expected:#x} -j DROP\nCOMMIT\n");
    assert_eq!(fate(&rules(&text), &web()), Fate::Dropped, "{operations:?}");
    let other = expected ^ 0x100;
    let text = text.replace(&format!("--mark {expected:#x} "), &format!("--mark {other:#x} "));
    assert_eq!(fate(&rules(&text), &web()), Fate::Untouched, "{operations:?}");
}

#[test]
fn marks_are_set_in_all_the_ways_that_there_are() {
    mark_is(&["--set-mark 0x4d415351"], 0x4d41_5351);
    mark_is(&["--or-mark 0x1", "--or-mark 0x00004000"], 0x4001);
    mark_is(&["--set-xmark 0x4001/0x4001", "--xor-mark 0x00004000"], 0x1);
    mark_is(&["--set-xmark 0x4001", "--set-xmark 0x4000/0x0"], 0x1);
    mark_is(&["--or-mark 0xff", "--and-mark 0xf0"], 0xf0);
    mark_is(&["--or-mark 0xff", "--set-mark 0x5/0xf"], 0xf5);
    mark_is(&["--or-mark 0xff", "--set-xmark 0x5/0xf"], 0xf5);
}

#[test]
fn marks_are_looked_at_within_their_mask() {
    for (mark, expected) in [
        ("0x4000/0x4000", Fate::Dropped),
        ("0x8000/0x8000", Fate::Untouched),
        ("0x4000", Fate::Untouched),
    ] {
        let text = format!(
            "*filter\n:INPUT ACCEPT\n-A INPUT -j MARK --or-mark 0x4001\n-A INPUT -m mark --mark {mark} -j DROP\nCOMMIT\n"
        );
        assert_eq!(fate(&rules(&text), &web()), expected, "{mark}");
        let text = text.replace("--mark 0x4000", "! --mark 0x4000");
        let opposite = match (expected, mark.starts_with("0x4000")) {
            (Fate::Dropped, _) => Fate::Untouched,
            (_, true) => Fate::Dropped,
            (same, false) => same,
        };
        assert_eq!(fate(&rules(&text), &web()), opposite, "! {mark}");
    }
}

#[test]
fn a_list_knows_whom_it_has_seen_and_when() {
    let on_list = |seconds| Node {
        recent: [("LIST".to_owned(), [(web().source.ip(), seconds)].into())].into(),
        ..node()
    };
    let check = |words: &str, node: &Node, expected| {
        let answer = ask(
            &dropping(&format!("-m recent {words} --mask 255.255.255.255 --rsource")),
            node,
            &web(),
        );
        assert_eq!(answer.fates(), [(expected, 1.0)].into(), "{words}");
    };
    let words = "--rcheck --seconds 10800 --reap --name LIST";
    check(words, &on_list(10_800), Fate::Dropped);
    check(words, &on_list(10_801), Fate::Untouched);
    check(words, &node(), Fate::Untouched);
    check("--name LIST --rcheck", &on_list(10_801), Fate::Dropped);
    check("--name OTHER --rcheck", &on_list(1), Fate::Untouched);
    check("--name LIST ! --rcheck", &node(), Fate::Dropped);
}

#[test]
fn a_list_remembers_who_comes_by_as_far_as_the_rule_is_read() {
    let remembered = |words: &str| -> Vec<String> {
        let answer = ask(&dropping(words), &node(), &web());
        let lists = answer.0.into_keys().map(|outcome| outcome.remembered_in);
        lists.flatten().collect()
    };
    assert_eq!(remembered("-m recent --set --name LIST"), ["LIST"]);
    assert_eq!(remembered("-m recent --name LIST --set -p udp"), ["LIST"]);
    assert_eq!(
        remembered("-p udp -m recent --name LIST --set"),
        Vec::<String>::new()
    );
}

#[test]
fn lines_without_a_table_are_read_as_those_of_one() {
    let lines = "-P FORWARD DROP\n-N CHAIN\n-A FORWARD -d 198.51.100.1/32 -j CHAIN\n-A CHAIN -j ACCEPT\n";
    let rules = Rules::from_lines("filter", lines).expect("they can be read");
    assert_eq!(fate(&rules, &elsewhere()), Fate::Untouched);
    assert_eq!(
        fate(&rules, &arriving("10.0.0.1:1", "198.51.100.2:1")),
        Fate::Dropped
    );
}

#[test]
fn a_rule_that_is_inserted_comes_first() {
    let text = "*filter\n:INPUT ACCEPT\n-A INPUT -j ACCEPT\n-I INPUT -j DROP\nCOMMIT\n";
    assert_eq!(fate(&rules(text), &web()), Fate::Dropped);
}

#[test]
fn a_chain_that_is_declared_again_is_empty_and_one_that_is_deleted_is_gone() {
    let text = "*filter\n:INPUT ACCEPT\n:OLD - [0:0]\n-A OLD -j DROP\n-A INPUT -j DROP\n:INPUT ACCEPT\n:OLD -\n-X OLD\nCOMMIT\n";
    let rules = rules(text);
    assert_eq!(fate(&rules, &web()), Fate::Untouched);
    assert!(!rules.tables()["filter"].chains.contains_key("OLD"));
}
