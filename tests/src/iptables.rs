//! Rules of netfilter in a namespace, as CNI plugins, kube-proxy and administrators write them.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use proxy_agent::model::Family;

use crate::{exec, netns::NetNs};

/// One of the two worlds of rules that a kernel has at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iptables {
    /// Over nf_tables.
    Nft,
    /// Over x_tables.
    Legacy,
}

impl Iptables {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Nft, Self::Legacy];

    /// The legacy one if it is installed: it is the faster one.
    #[must_use]
    pub fn usual() -> Self {
        if Self::Legacy.is_installed() {
            Self::Legacy
        } else {
            Self::Nft
        }
    }

    fn program(self, family: Family, suffix: &str) -> String {
        let name = match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        let backend = match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        };
        format!("{name}-{backend}{suffix}")
    }

    /// Whether this machine has its programs.
    #[must_use]
    pub fn is_installed(self) -> bool {
        let version = |family| Command::new(self.program(family, "")).arg("--version").output();
        Family::ALL
            .into_iter()
            .all(|family| version(family).is_ok_and(|output| output.status.success()))
    }

    /// Runs one command, such as `-P FORWARD DROP`, and gives what it printed.
    ///
    /// # Errors
    ///
    /// It failed.
    pub fn run(self, ns: &NetNs, family: Family, arguments: &str) -> Result<String> {
        let mut command = ns.command(self.program(family, ""));
        exec::output(command.args(["-w", "20"]).args(arguments.split_whitespace()))
    }

    /// What `iptables-save` prints.
    ///
    /// # Errors
    ///
    /// It failed.
    pub fn save(self, ns: &NetNs, family: Family) -> Result<String> {
        exec::output(&mut ns.command(self.program(family, "-save")))
    }

    /// Gives `lines` to `iptables-restore --noflush`.
    ///
    /// # Errors
    ///
    /// It refused a line.
    pub fn restore(self, ns: &NetNs, family: Family, lines: &str) -> Result<()> {
        let mut child = ns
            .command(self.program(family, "-restore"))
            .args(["-w", "20", "--noflush"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run iptables-restore: install iptables")?;
        child
            .stdin
            .take()
            .context("iptables-restore has no standard input")?
            .write_all(lines.as_bytes())?;
        let output = child.wait_with_output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "iptables-restore failed: {}\n{lines}",
            stderr.trim()
        );
        Ok(())
    }
}
