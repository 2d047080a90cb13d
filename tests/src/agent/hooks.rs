//! Which programs sit on which device, as `bpftool net show` sees it.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{exec, netns::NetNs};

/// One program on one hook of one device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hook {
    /// Name of the device.
    pub device: String,
    /// E.g. `tcx/ingress` or `clsact/egress`.
    pub kind: String,
    /// Name of the program.
    pub program: String,
}

impl Hook {
    /// `device kind`: what must not occur twice.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} {}", self.device, self.kind)
    }
}

/// All TC programs in `ns`, in order.
///
/// # Errors
///
/// `bpftool` is missing or prints something else.
pub fn hooks(ns: &NetNs) -> Result<Vec<Hook>> {
    let json = exec::output(ns.command("bpftool").args(["-j", "net", "show"]))?;
    parse(&json).with_context(|| format!("in the output of `bpftool net show`: {json}"))
}

fn parse(json: &str) -> Result<Vec<Hook>> {
    let output: Value = serde_json::from_str(json)?;
    let programs = output
        .get(0)
        .and_then(|net| net.get("tc"))
        .and_then(Value::as_array)
        .context("no list `tc`")?;
    let text = |program: &Value, field: &str| {
        program
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let mut hooks: Vec<Hook> = programs
        .iter()
        .map(|program| Hook {
            device: text(program, "devname"),
            kind: text(program, "kind"),
            program: text(program, "name"),
        })
        .collect();
    hooks.sort();
    Ok(hooks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_bpftool_is_read() {
        let json = r#"[{"xdp":[],"tc":[{"devname":"eth0","ifindex":2,"kind":"tcx/ingress","name":"tc_ingress",
            "prog_id":7}],"flow_dissector":[]}]"#;
        let hooks = parse(json).unwrap();
        assert_eq!(hooks[0].place(), "eth0 tcx/ingress");
    }
}
