//! What `iptables -L` prints, with `-n` and `-v` or without.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;

use super::{
    listing_rule::{Columns, rule},
    restore::{numbered, place},
    values::policy,
};
use crate::rules::{Chain, Policy, Rules, Table};

/// Which networks the names stand for that a listing without `-n` shows in the place of addresses.
pub type Names = BTreeMap<String, IpNet>;

impl Rules {
    /// Reads listings of one table.
    ///
    /// A listing says less than the rules: where several do not differ in it, they are read as the plainest one.
    ///
    /// # Errors
    ///
    /// A word is not known here; the error names the line.
    pub fn from_listing(table: &str, text: &str, names: &Names) -> Result<Self> {
        let mut reader = Reader {
            table: Table::default(),
            chain: None,
            columns: Columns::default(),
            names,
        };
        for (number, line) in numbered(text) {
            reader.line(line).with_context(|| place(number, line))?;
        }
        let tables = [(table.to_owned(), reader.table)].into();
        Ok(Self { tables })
    }
}

struct Reader<'a> {
    table: Table,
    chain: Option<String>,
    columns: Columns,
    names: &'a Names,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Result<()> {
        if let Some(title) = line.strip_prefix("Chain ") {
            return self.title(title);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["target", "prot", "opt", "source", "destination"] => self.columns = Columns { verbose: false },
            [
                "pkts",
                "bytes",
                "target",
                "prot",
                "opt",
                "in",
                "out",
                "source",
                "destination",
            ] => {
                self.columns = Columns { verbose: true };
            }
            _ => {
                let rule = rule(line, self.columns, self.names)?;
                let name = self.chain.as_ref().context("it is in no chain")?;
                let chain = self.table.chains.get_mut(name).context("the chain is known")?;
                chain.rules.push(rule);
            }
        }
        Ok(())
    }

    /// `NAME (policy POLICY [N packets, N bytes])` or `NAME (N references)`.
    fn title(&mut self, title: &str) -> Result<()> {
        let (name, inside) = title
            .split_once(" (")
            .context("a chain has a name and brackets")?;
        let inside = inside
            .strip_suffix(')')
            .context("the brackets are never closed")?;
        let words: Vec<&str> = inside.split_whitespace().collect();
        let policy = match words[..] {
            ["policy", word] | ["policy", word, _, "packets,", _, "bytes"] => policy(word)?,
            [count, "references"] => {
                ensure!(count.parse::<u32>().is_ok(), "token {count:?} is no number");
                Policy::Return
            }
            _ => bail!("token {inside:?} is not known here"),
        };
        let chain = Chain {
            policy,
            rules: Vec::new(),
        };
        let before = self.table.chains.insert(name.to_owned(), chain);
        ensure!(before.is_none(), "it is listed twice");
        self.chain = Some(name.to_owned());
        Ok(())
    }
}
