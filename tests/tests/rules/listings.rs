//! Listings say what the rules say.

use harness::rules::{Names, Rules};

use crate::scene::rules;

const SAVED: &str = r#"*nat
:PREROUTING ACCEPT [0:0]
:CHAIN - [0:0]
:OTHER - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j CHAIN
-A CHAIN
-A CHAIN -p tcp ! -s 10.244.0.0/16 -d 10.96.0.10/32 -m comment --comment "ns/svc:p cluster IP" -m tcp --dport 53 -j OTHER
-A CHAIN -p udp -m udp ! --dport 53 -j ACCEPT
-A CHAIN -p tcp -m tcp --dport 443 -j RETURN
-A CHAIN -p sctp -m sctp --sport 1:9 -j RETURN
-A CHAIN -m addrtype --dst-type LOCAL -j OTHER
-A CHAIN -m addrtype ! --src-type LOCAL -g OTHER
-A CHAIN -m statistic --mode random --probability 0.25 -j OTHER
-A CHAIN -m recent --rcheck --seconds 10800 --reap --name LIST --mask 255.255.255.255 --rsource -j OTHER
-A CHAIN -p tcp -m recent --set --name LIST --mask 255.255.255.255 --rsource -m tcp -j DNAT --to-destination 10.0.0.1:80
-A CHAIN -m mark ! --mark 0x4000/0x4000 -j RETURN
-A CHAIN -m mark --mark 0x8000/0x8000 -j DROP
-A CHAIN -j MARK --or-mark 0x4000
-A CHAIN -j MARK --xor-mark 0x4000
-A CHAIN -j MARK --set-mark 0x4d415351
-A CHAIN -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A CHAIN -m conntrack ! --ctstate NEW -j ACCEPT
-A CHAIN -m physdev ! --physdev-is-in -j ACCEPT
-A CHAIN -j REJECT --reject-with icmp-port-unreachable
-A CHAIN -j MASQUERADE --random-fully
COMMIT
"#;

const LISTED: &str = "Chain PREROUTING (policy ACCEPT)
target     prot opt source               destination
CHAIN      all  --  anywhere             anywhere             /* kubernetes service portals */

Chain CHAIN (1 references)
target     prot opt source               destination
           all  --  anywhere             anywhere
OTHER      tcp  -- !pods/16              10.96.0.10           /* ns/svc:p cluster IP */ tcp dpt:domain
ACCEPT     udp  --  0.0.0.0/0            0.0.0.0/0            udp dpt:!53
RETURN     tcp  --  anywhere             anywhere             tcp dpt:https
RETURN     132  --  anywhere             anywhere             sctp spts:1:9
OTHER      all  --  anywhere             anywhere             /* the last */ADDRTYPE match dst-type LOCAL
OTHER      0    --  anywhere             anywhere            [goto]  ADDRTYPE match src-type !LOCAL
OTHER      all  --  anywhere             anywhere             statistic mode random probability 0.25000000000
OTHER      all  --  anywhere             anywhere             recent: CHECK seconds: 10800 reap name: LIST side: source mask: 255.255.255.255
DNAT       tcp  --  anywhere             anywhere             recent: SET name: LIST side: source mask: 255.255.255.255 tcp to:10.0.0.1:80
RETURN     all  --  anywhere             anywhere             mark match ! 0x4000/0x4000
DROP       all  --  anywhere             anywhere             mark match 0x8000/0x8000
MARK       all  --  anywhere             anywhere             MARK or 0x4000
MARK       all  --  anywhere             anywhere             MARK xor 0x4000
MARK       all  --  anywhere             anywhere             MARK set 0x4d415351
ACCEPT     all  --  anywhere             anywhere             ctstate RELATED,ESTABLISHED
ACCEPT     all  --  anywhere             anywhere             ! ctstate NEW
ACCEPT     all  --  anywhere             anywhere             PHYSDEV match ! --physdev-is-in
REJECT     all  --  anywhere             anywhere             reject-with icmp-port-unreachable
MASQUERADE  all  --  anywhere             anywhere             random-fully

Chain OTHER (4 references)
target     prot opt source               destination
";

#[test]
fn every_word_of_a_listing_says_what_the_saved_rule_says() {
    let names: Names = [("pods/16".to_owned(), "10.244.0.0/16".parse().expect("a network"))].into();
    let listed = Rules::from_listing("nat", LISTED, &names).unwrap_or_else(|error| panic!("{error:#}"));
    let saved = rules(SAVED);
    for (name, chain) in &saved.tables()["nat"].chains {
        let listed = &listed.tables()["nat"].chains[name];
        assert_eq!(listed.policy, chain.policy, "{name}");
        for (listed, saved) in listed.rules.iter().zip(&chain.rules) {
            assert_eq!(listed, saved, "{name}");
        }
        assert_eq!(listed.rules.len(), chain.rules.len(), "{name}");
    }
}

#[test]
fn listings_with_counters_tell_of_interfaces_too() {
    let saved = rules(
        "*filter\n:FORWARD DROP [0:0]\n:A - [0:0]\n-A FORWARD -p tcp -i cali+ ! -o eth0 -j A\n-A FORWARD -j ACCEPT\nCOMMIT\n",
    );
    let listed = "Chain FORWARD (policy DROP 893 packets, 53580 bytes)
 pkts bytes target     prot opt in     out     source               destination
17582 1055K A          tcp  --  cali+  !eth0   0.0.0.0/0            0.0.0.0/0
    0     0 ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0

Chain A (1 references)
 pkts bytes target     prot opt in     out     source               destination
";
    let listed =
        Rules::from_listing("filter", listed, &Names::new()).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(listed, saved);
}
