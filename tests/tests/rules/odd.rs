//! Whatever is not understood is an error that names the line and the word.

use harness::rules::{Names, Rules};

fn error(text: &str) -> String {
    let error = Rules::from_restore(text).expect_err(text);
    format!("{error:#}")
}

/// The error of a rule in line 3 of a text.
fn error_of(words: &str) -> String {
    let error = error(&format!("*nat\n:CHAIN - [0:0]\n-A CHAIN {words}\nCOMMIT\n"));
    assert!(error.contains("line 3"), "{words}: {error}");
    error
}

#[test]
fn unknown_words_are_named_with_their_line() {
    for (words, named) in [
        ("--syn -j ACCEPT", "--syn"),
        ("-m tcp -p tcp --tcp-flags SYN SYN -j ACCEPT", "--tcp-flags"),
        ("-m multiport -p tcp -j ACCEPT", "multiport"),
        ("-p icmp -j ACCEPT", "icmp"),
        ("-m addrtype --dst-type BROADCAST -j DROP", "--dst-type"),
        ("-m statistic --mode nth --every 2 -j DROP", "--mode"),
        ("-m statistic --mode random --probability 1.5", "1.5"),
        ("-m conntrack --ctstate NEW,OLD -j DROP", "OLD"),
        ("-m conntrack --ctdir REPLY -j DROP", "--ctdir"),
        ("-m recent --update --name X -j DROP", "--update"),
        ("-m recent --rcheck --hitcount 3 --name X -j DROP", "--hitcount"),
        ("-m recent --rdest --set --name X", "--rdest"),
        ("-m recent --rcheck --name X --mask 255.255.255.0", "--mask"),
        ("-d nowhere -j DROP", "nowhere"),
        ("-p tcp -m tcp --dport gopher -j DROP", "gopher"),
        ("-j DNAT --to-destination 10.0.0.1:80-90", "10.0.0.1:80-90"),
        (
            "-j DNAT --to-destination 10.0.0.1:80 --persistent",
            "--persistent",
        ),
        ("-j MARK --set-mark green", "green"),
        ("-j SNAT --to-source 10.0.0.1", "--to-source"),
        ("ACCEPT", "ACCEPT"),
    ] {
        let error = error_of(words);
        assert!(error.contains(&format!("{named:?}")), "{words}: {error}");
    }
}

#[test]
fn what_lacks_something_or_has_too_much_is_refused() {
    for words in [
        "--dport 80 -j ACCEPT",
        "-p tcp --dport 80 -j ACCEPT",
        "-m tcp --dport 80 -j ACCEPT",
        "--probability 0.5 -j ACCEPT",
        "--comment text",
        "--mark 0x1 -j ACCEPT",
        "--ctstate NEW -j ACCEPT",
        "--rcheck --name X -j ACCEPT",
        "-m recent --name X -j ACCEPT",
        "-m recent --set -j ACCEPT",
        "-m recent --set --rcheck --name X",
        "-j DNAT",
        "-j MARK",
        "-j MASQUERADE --to-destination 10.0.0.1",
        "-j ACCEPT --random-fully",
        "-j DROP --reject-with tcp-reset",
        "-j ACCEPT -j DROP",
        "! -j ACCEPT",
        "-s 10.0.0.1 !",
        "! ! -s 10.0.0.1",
        "-m comment --comment",
        "-m comment --comment \"never closed",
        "-m comment --comment \"no blank\"-j ACCEPT",
        "-j",
    ] {
        error_of(words);
    }
}

#[test]
fn texts_without_form_are_refused() {
    for text in [
        ":CHAIN - [0:0]\n",
        "*nat\n:CHAIN - [0:0]\n",
        "*nat\n*filter\nCOMMIT\n",
        "*nat\n:CHAIN\nCOMMIT\n",
        "*nat\n:CHAIN MAYBE [0:0]\nCOMMIT\n",
        "*nat\n:CHAIN - [0:x]\nCOMMIT\n",
        "*nat\n:CHAIN - [0:0] more\nCOMMIT\n",
        "*nat\n-A CHAIN -j ACCEPT\nCOMMIT\n",
        "*nat\n-F CHAIN\nCOMMIT\n",
        "*nat\n-X CHAIN\nCOMMIT\n",
        "*nat\n:CHAIN -\n-A CHAIN -j ACCEPT\n-X CHAIN\nCOMMIT\n",
    ] {
        error(text);
    }
}

#[test]
fn unknown_words_of_a_listing_are_named_with_their_line() {
    let title = "Chain INPUT (policy ACCEPT)\ntarget     prot opt source               destination\n";
    for (line, named) in [
        ("DROP  all  --  somewhere  anywhere", "somewhere"),
        ("DROP  icmp  --  anywhere  anywhere", "icmp"),
        ("DROP  tcp  --  anywhere  anywhere  tcp dpt:gopher", "gopher"),
        ("DROP  tcp  --  anywhere  anywhere  udp dpt:53", "udp"),
        (
            "DROP  all  --  anywhere  anywhere  limit: avg 3/min burst 5",
            "limit:",
        ),
        (
            "DROP  all  --  anywhere  anywhere  ADDRTYPE match dst-type BROADCAST",
            "ADDRTYPE",
        ),
        (
            "DROP  all  --  anywhere  anywhere  statistic mode nth every 2",
            "statistic",
        ),
        (
            "DROP  all  --  anywhere  anywhere  to:10.0.0.1:80",
            "to:10.0.0.1:80",
        ),
        ("MARK  all  --  anywhere  anywhere  MARK green 0x1", "MARK"),
        ("DROP  all  --  anywhere  anywhere  [goto]", "[goto]"),
        (
            "DROP  all  --  anywhere  anywhere  recent: UPDATE name: X side: source",
            "recent:",
        ),
        ("DROP  all  --  anywhere  anywhere  /* note */ ← 1", "←"),
    ] {
        let text = format!("{title}{line}\n");
        let error = Rules::from_listing("filter", &text, &Names::new()).expect_err(line);
        let error = format!("{error:#}");
        assert!(
            error.contains("line 3") && error.contains(&format!("{named:?}")),
            "{line}: {error}"
        );
    }
}

#[test]
fn listings_without_form_are_refused() {
    let header = "target     prot opt source               destination\n";
    for text in [
        format!("{header}DROP  all  --  anywhere  anywhere\n"),
        "Chain INPUT (policy ACCEPT)\nwhatever\n".to_owned(),
        "Chain INPUT\n".to_owned(),
        "Chain INPUT (policy MAYBE)\n".to_owned(),
        "Chain INPUT (some references)\n".to_owned(),
        "Chain INPUT (1 references\n".to_owned(),
        "Chain X (1 references)\nChain X (1 references)\n".to_owned(),
        format!("Chain X (1 references)\n{header}DNAT  tcp  --  anywhere  anywhere\n"),
        format!("Chain X (1 references)\n{header}MARK  tcp  --  anywhere  anywhere\n"),
        format!("Chain X (1 references)\n{header}DROP  all  -f  anywhere  anywhere\n"),
        format!("Chain X (1 references)\n{header}DROP  all  --  anywhere  anywhere /* never closed\n"),
    ] {
        assert!(
            Rules::from_listing("filter", &text, &Names::new()).is_err(),
            "{text}"
        );
    }
}
