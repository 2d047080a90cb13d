//! The rules that we write, in the chains that every node has.

use std::{fmt::Write as _, net::IpAddr};

use anyhow::{Context as _, Result};
use proxy_agent::{
    dataplane::iptables::render::{
        Extent, Renderer, Settings,
        jumps::{JUMPS, Jump, KUBELET_JUMPS},
    },
    model::{Desired, Family},
};

use super::Rules;

/// What a node has before.
const EMPTY: &str = "*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
COMMIT
";

impl Rules {
    /// Those of a node with these addresses on which nobody else has rules.
    ///
    /// # Errors
    ///
    /// They are not understood.
    pub fn rendered(desired: &Desired, family: Family, addresses: &[IpAddr]) -> Result<Self> {
        let mut renderer = Renderer::new(Settings {
            invalid_counter: true,
            localhost_counter: true,
            ..Settings::of(family)
        });
        renderer.render_all(desired, addresses);
        let text = format!("{EMPTY}{}{}", renderer.text(Extent::Full, &[]), jumps());
        Self::from_restore(&text).with_context(|| format!("of what is rendered:\n{text}"))
    }
}

fn jumps() -> String {
    let mut text = String::new();
    for table in ["filter", "nat"] {
        let of_table = JUMPS
            .iter()
            .chain(&KUBELET_JUMPS)
            .filter(|jump| jump.table == table);
        let lines: String = of_table.map(line).collect();
        write!(text, "*{table}\n{lines}COMMIT\n").expect("a string takes all");
    }
    text
}

fn line(jump: &Jump) -> String {
    let words = jump.arguments().into_iter().map(|word| format!("{word:?}"));
    format!("-I {} {}\n", jump.from, words.collect::<Vec<_>>().join(" "))
}
