//! The way through chains.

use harness::rules::{Fate, Rules};

use crate::scene::{arriving, ask, endpoint, fate, node, rules};

fn filter(chains: &str, lines: &str) -> Rules {
    rules(&format!("*filter\n:INPUT ACCEPT\n{chains}\n{lines}\nCOMMIT\n"))
}

fn met(rules: &Rules) -> Fate {
    fate(rules, &arriving("10.0.0.5:40000", "192.0.2.1:80"))
}

fn refusal(rules: &Rules) -> String {
    let packet = arriving("10.0.0.5:40000", "192.0.2.1:80");
    let error = rules
        .ask(&node(), &packet)
        .expect_err("the kernel would refuse them");
    format!("{error:#}")
}

#[test]
fn the_end_of_a_called_chain_goes_on_after_the_call() {
    assert_eq!(
        met(&filter(":A -", "-A INPUT -j A\n-A INPUT -j DROP")),
        Fate::Dropped
    );
}

#[test]
fn return_skips_the_rest_of_its_chain_only() {
    let lines =
        "-A INPUT -j A\n-A INPUT -j REJECT --reject-with icmp-port-unreachable\n-A A -j RETURN\n-A A -j DROP";
    assert_eq!(met(&filter(":A -", lines)), Fate::Rejected);
}

#[test]
fn accept_in_a_called_chain_is_for_the_whole_table() {
    assert_eq!(
        met(&filter(":A -", "-A INPUT -j A\n-A INPUT -j DROP\n-A A -j ACCEPT")),
        Fate::Untouched
    );
}

#[test]
fn the_end_of_a_chain_by_goto_is_the_end_of_the_one_before() {
    let lines = "-A INPUT -j A\n-A INPUT -j REJECT\n-A A -g B\n-A A -j DROP";
    assert_eq!(met(&filter(":A -\n:B -", lines)), Fate::Rejected);
}

#[test]
fn a_rule_without_a_target_does_nothing() {
    let lines = "-A INPUT -m comment --comment \"only counts\"\n-A INPUT -j DROP";
    assert_eq!(met(&filter("", lines)), Fate::Dropped);
}

#[test]
fn policies_are_for_what_comes_to_the_end() {
    let text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -s 10.0.0.5/32 -j ACCEPT\nCOMMIT\n";
    assert_eq!(met(&rules(text)), Fate::Untouched);
    assert_eq!(
        fate(&rules(text), &arriving("10.0.0.6:1", "192.0.2.1:80")),
        Fate::Dropped
    );
}

#[test]
fn a_cascade_of_three_gives_each_a_third() {
    let text = "*nat\n:PREROUTING ACCEPT\n:POSTROUTING ACCEPT\n:SVC -\n-A PREROUTING -j SVC\n\
        -A SVC -m statistic --mode random --probability 0.3333333333 -j DNAT --to-destination 10.0.0.1:80\n\
        -A SVC -m statistic --mode random --probability 0.5000000000 -j DNAT --to-destination 10.0.0.2:80\n\
        -A SVC -j DNAT --to-destination 10.0.0.3:80\nCOMMIT\n";
    let answer = ask(&rules(text), &node(), &arriving("10.0.0.5:40000", "192.0.2.1:80"));
    let fates = answer.fates();
    let expected = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(endpoint);
    assert!(fates.keys().eq(&expected), "{answer}");
    for share in fates.values() {
        assert!((share - 1.0 / 3.0).abs() < 1e-9, "{answer}");
    }
}

#[test]
fn ways_that_end_alike_are_one_outcome() {
    let lines = "-A INPUT -m statistic --mode random --probability 0.25 -j DROP\n\
        -A INPUT -m statistic --mode random --probability 0.5 -j DROP";
    let answer = ask(
        &filter("", lines),
        &node(),
        &arriving("10.0.0.5:40000", "192.0.2.1:80"),
    );
    assert_eq!(
        answer.fates(),
        [(Fate::Dropped, 0.625), (Fate::Untouched, 0.375)].into()
    );
    assert_eq!(answer.0.len(), 2);
}

#[test]
fn a_chain_that_jumps_to_itself_is_refused() {
    let error = refusal(&filter(":A -", "-A A -j A"));
    assert!(error.contains("chain A calls itself"), "{error}");
}

#[test]
fn chains_that_jump_in_a_ring_are_refused() {
    let error = refusal(&filter(":A -\n:B -\n:C -", "-A A -j B\n-A B -g C\n-A C -j A"));
    assert!(error.contains("calls itself"), "{error}");
}

#[test]
fn a_chain_that_two_call_is_no_ring() {
    let lines = "-A INPUT -j A\n-A INPUT -j B\n-A A -j C\n-A B -j C\n-A C -s 10.9.9.9/32 -j DROP";
    assert_eq!(met(&filter(":A -\n:B -\n:C -", lines)), Fate::Untouched);
}

#[test]
fn a_chain_that_does_not_exist_is_named_unless_it_is_declared() {
    let rules = filter("", "-A INPUT -j DOCKER-USER");
    assert!(
        refusal(&rules).contains("chain DOCKER-USER"),
        "{}",
        refusal(&rules)
    );
    assert_eq!(
        met(&rules.with_empty_chain("filter", "DOCKER-USER")),
        Fate::Untouched
    );
}

#[test]
fn a_table_without_the_chain_of_a_hook_is_refused_and_a_missing_table_lets_pass() {
    let error = refusal(&rules("*filter\n:FORWARD ACCEPT\nCOMMIT\n"));
    assert!(error.contains("table filter: there is no chain INPUT"), "{error}");
    assert_eq!(met(&rules("*mangle\nCOMMIT\n")), Fate::Untouched);
}

#[test]
fn excerpts_are_put_together_unless_they_say_different_things_of_a_chain() {
    let call = Rules::from_lines("filter", "-A INPUT -j A").expect("a rule");
    let called = Rules::from_lines("filter", "-A A -j DROP").expect("a rule");
    assert_eq!(met(&call.clone().and(called).expect("they fit")), Fate::Dropped);
    assert!(call.clone().and(call).is_err());
}
