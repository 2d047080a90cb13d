//! Which programs sit on which device: clsact filters by `bpftool net show`, TCX by the kernel's own query, because
//! bpftool before 7.3 does not know TCX.

use anyhow::{Context as _, Result};
use aya::programs::{SchedClassifier, TcAttachType};
use nix::net::if_::if_nameindex;
use serde_json::Value;

use crate::{exec, netns::NetNs, skip};

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
/// `bpftool` is missing or prints something else, or the kernel refuses the query.
pub fn hooks(ns: &NetNs) -> Result<Vec<Hook>> {
    let json = exec::output(ns.command("bpftool").args(["-j", "net", "show"]))?;
    let filters = parse(&json).with_context(|| format!("in the output of `bpftool net show`: {json}"))?;
    // A bpftool that knows TCX would have them counted twice.
    let mut hooks: Vec<Hook> = filters
        .into_iter()
        .filter(|hook| !hook.kind.starts_with("tcx"))
        .collect();
    if skip::kernel_is_at_least(6, 6) {
        hooks.extend(ns.run(tcx)?);
    }
    hooks.sort();
    Ok(hooks)
}

/// TCX programs of the namespace that the thread is in.
fn tcx() -> Result<Vec<Hook>> {
    let mut hooks = Vec::new();
    for interface in &if_nameindex()? {
        let device = interface.name().to_string_lossy().into_owned();
        for (kind, hook) in [
            ("tcx/ingress", TcAttachType::Ingress),
            ("tcx/egress", TcAttachType::Egress),
        ] {
            let (_, programs) = SchedClassifier::query_tcx(&device, hook)
                .with_context(|| format!("cannot ask the kernel for {kind} of {device}"))?;
            hooks.extend(programs.iter().map(|program| Hook {
                device: device.clone(),
                kind: kind.to_owned(),
                program: program.name_as_str().unwrap_or("?").to_owned(),
            }));
        }
    }
    Ok(hooks)
}

fn parse(json: &str) -> Result<Vec<Hook>> {
    let output: Value = serde_json::from_str(json)?;
    let programs = output
        .get(0)
        .and_then(|net| net.get("tc"))
        .and_then(Value::as_array)
        .context("no list `tc`")?;
    let text = |program: &Value, field: &str| {
        let text = program.get(field).and_then(Value::as_str);
        text.unwrap_or("?").to_owned()
    };
    let hook = |program: &Value| Hook {
        device: text(program, "devname"),
        kind: text(program, "kind"),
        program: text(program, "name"),
    };
    Ok(programs.iter().map(hook).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_bpftool_is_read() {
        let json = r#"[{"xdp":[],"tc":[{"devname":"eth0","ifindex":2,"kind":"clsact/ingress",
            "name":"tc_ingress","id":7}],"flow_dissector":[]}]"#;
        let hooks = parse(json).unwrap();
        assert_eq!(hooks[0].place(), "eth0 clsact/ingress");
    }
}
