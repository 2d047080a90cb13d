//! Which of the two worlds of iptables the node's rules are in.

use super::{saved::Saved, tables::Tables};
use crate::{
    model::Family,
    netfilter::iptables::{BACKENDS, Backend, IptablesError, ONLY_ONES},
};

/// Chains that kubelet makes in table mangle of the world that the node uses.
const HINTS: [&str; 2] = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"];

/// The world in which kubelet has left a hint, else that of the program called `iptables`.
///
/// # Errors
/// When there is no iptables of this family.
pub(super) fn choose(family: Family) -> Result<Backend, IptablesError> {
    let hinted = BACKENDS.into_iter().filter(|backend| backend.family() == family);
    let hinted = hinted
        .into_iter()
        .find(|backend| HINTS.iter().any(|hint| backend.has_chain("mangle", hint)));
    if let Some(backend) = hinted {
        return Ok(backend);
    }
    let [v4, v6] = ONLY_ONES;
    let default = if family == Family::V4 { v4 } else { v6 };
    default.version().map(|_| default)
}

/// Whether `--version` is that of a program with `--random-fully`: 1.6.2.
pub(super) fn knows_random_fully(version: &str) -> bool {
    let number = version
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .trim_start_matches('v');
    let parts: Vec<u32> = number.split('.').map_while(|part| part.parse().ok()).collect();
    parts.as_slice() >= &[1, 6, 2][..]
}

/// What the kernel has.
pub(super) fn tables(backend: &Backend) -> Result<Tables, IptablesError> {
    let saved = |table| Ok::<_, IptablesError>(Saved::parse(&backend.save(table)?));
    Ok(Tables {
        mangle: saved("mangle")?,
        nat: saved("nat")?,
        filter: saved("filter")?,
    })
}

#[cfg(test)]
mod tests {
    use super::knows_random_fully;

    #[test]
    fn random_ports_are_asked_for_where_the_program_knows_them() {
        for (version, knows) in [
            ("iptables v1.8.9 (nf_tables)", true),
            ("iptables v1.6.2", true),
            ("iptables v1.6.1", false),
            ("ip6tables v2.0.0", true),
            ("", false),
        ] {
            assert_eq!(knows_random_fully(version), knows, "{version}");
        }
    }
}
