//! The iptables programs of this machine. nft's and legacy's rules are two worlds, and a packet has to pass both.

use std::{
    fs,
    io::{self, Write as _},
    process::{Command, Output, Stdio},
};

use crate::model::Family;

/// One kernel world of rules, of one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    /// `iptables-nft` and the like; with `-restore` it is the program that writes.
    pub(crate) program: &'static str,
    /// The tables that legacy's world has. A look at one that is not there would make it, and packets would pay for it.
    tables: Option<&'static str>,
}

/// What machines have; the two after them only where nothing tells the worlds apart.
pub(crate) const BACKENDS: [Backend; 4] = [
    nft("iptables-nft"),
    legacy("iptables-legacy", "/proc/thread-self/net/ip_tables_names"),
    nft("ip6tables-nft"),
    legacy("ip6tables-legacy", "/proc/thread-self/net/ip6_tables_names"),
];
pub(crate) const ONLY_ONES: [Backend; 2] = [nft("iptables"), nft("ip6tables")];

const fn nft(program: &'static str) -> Backend {
    Backend {
        program,
        tables: None,
    }
}

const fn legacy(program: &'static str, tables: &'static str) -> Backend {
    Backend {
        program,
        tables: Some(tables),
    }
}

/// What `ask` says of each world of this machine. A program that is missing has none.
pub(crate) fn each<T>(
    ask: impl Fn(&Backend) -> Result<T, IptablesError>,
) -> Vec<(Backend, Result<T, IptablesError>)> {
    let of = |backends: &[Backend]| -> Vec<_> {
        let answers = backends.iter().map(|backend| (*backend, ask(backend)));
        answers
            .filter(|(_, answer)| !matches!(answer, Err(IptablesError::NotInstalled(_))))
            .collect()
    };
    let told_apart = of(&BACKENDS);
    if told_apart.is_empty() {
        of(&ONLY_ONES)
    } else {
        told_apart
    }
}

/// An iptables program did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IptablesError {
    /// This machine has no such program.
    #[error("{0} is not installed")]
    NotInstalled(&'static str),
    /// It could not be run.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It has failed.
    #[error("{program} failed: {reason}")]
    Failed {
        /// The program.
        program: String,
        /// What it said.
        reason: String,
    },
}

impl Backend {
    pub(crate) fn family(&self) -> Family {
        if self.program.starts_with("ip6") {
            Family::V6
        } else {
            Family::V4
        }
    }

    /// The policy and the rules of a chain of table filter, as commands. Empty where there is no such table.
    pub(crate) fn list(&self, chain: &str) -> Result<String, IptablesError> {
        if self.has_no_filter() {
            // Whether it is installed is to be known all the same.
            return self.version().map(|_| String::new());
        }
        let mut command = Command::new(self.program);
        self.output(command.args(["-w", "5", "-S", chain]), "")
    }

    /// Whether there is a chain of this name and `is` says so of what it lists.
    pub(crate) fn chain_is(&self, chain: &str, is: impl FnOnce(&str) -> bool) -> bool {
        self.list(chain).is_ok_and(|listing| is(&listing))
    }

    /// Feeds `iptables-restore`, which does all of a table or nothing.
    pub(crate) fn restore(&self, text: &str) -> Result<(), IptablesError> {
        let program = format!("{}-restore", self.program);
        let arguments = ["-w", "5", "-W", "100000", "--noflush", "--counters"];
        self.output(Command::new(program).args(arguments), text).map(drop)
    }

    /// What `iptables-save` says of a table. Empty where there is none; whether the program is installed is known all the same.
    pub(crate) fn save(&self, table: &str) -> Result<String, IptablesError> {
        if !self.has(table) {
            return self.version().map(|_| String::new());
        }
        let program = format!("{}-save", self.program);
        self.output(Command::new(program).args(["-t", table]), "")
    }

    /// Whether a chain is there. Any failure to see it counts as no.
    pub(crate) fn has_chain(&self, table: &str, chain: &str) -> bool {
        let mut command = Command::new(self.program);
        self.has(table)
            && self
                .output(command.args(["-w", "5", "-t", table, "-S", chain]), "")
                .is_ok()
    }

    /// Whether rules may have a match of this name.
    pub(crate) fn knows_match(&self, name: &str) -> bool {
        let mut command = Command::new(self.program);
        self.output(command.args(["-m", name, "--help"]), "").is_ok()
    }

    /// What `--version` says.
    pub(crate) fn version(&self) -> Result<String, IptablesError> {
        self.output(Command::new(self.program).arg("--version"), "")
    }

    fn has_no_filter(&self) -> bool {
        !self.has("filter")
    }

    fn has(&self, table: &str) -> bool {
        self.tables.is_none_or(|path| {
            let tables = fs::read_to_string(path).unwrap_or_default();
            tables.lines().any(|known| known == table)
        })
    }

    fn output(&self, command: &mut Command, input: &str) -> Result<String, IptablesError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = match run(command, input) {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(IptablesError::NotInstalled(self.program));
            }
            Err(source) => return Err(IptablesError::Run { program, source }),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            let reason = text(&output.stderr);
            Err(IptablesError::Failed { program, reason })
        }
    }
}

fn run(command: &mut Command, input: &str) -> io::Result<Output> {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn()?;
    // Dropped at the end of the statement: that is the end of the input. One that wants none may have ended already.
    let _ = child
        .stdin
        .take()
        .map(|mut stdin| stdin.write_all(input.as_bytes()));
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_told_from_one_that_fails_also_where_there_is_no_table() {
        for missing in [nft("no-such-iptables"), legacy("no-such-iptables", "/nowhere")] {
            let error = missing.list("FORWARD").unwrap_err();
            assert!(
                matches!(error, IptablesError::NotInstalled("no-such-iptables")),
                "{error}"
            );
        }
        let error = nft("false").list("FORWARD").unwrap_err();
        assert!(matches!(error, IptablesError::Failed { .. }), "{error}");
        assert_eq!(legacy("true", "/nowhere").list("FORWARD").unwrap(), "");
    }
}
