//! Input of iptables-restore, output of iptables-save and `iptables -S`.

use anyhow::{Context as _, Result, bail, ensure};

use super::{rule::rule, values::policy, words::Words};
use crate::rules::{Chain, Rule, Rules, Table};

impl Rules {
    /// Reads what iptables-restore takes and iptables-save prints.
    ///
    /// # Errors
    ///
    /// A word is not known here, or the rules don't fit together; the error names the line.
    pub fn from_restore(text: &str) -> Result<Self> {
        let mut rules = Self::default();
        let mut open = None;
        for (number, line) in numbered(text) {
            read(&mut rules, &mut open, line).with_context(|| place(number, line))?;
        }
        ensure!(open.is_none(), "there is no COMMIT at the end");
        Ok(rules)
    }

    /// Reads lines as `iptables -t TABLE -S` prints them; chains need not be announced.
    ///
    /// # Errors
    ///
    /// As [`Self::from_restore`].
    pub fn from_lines(table: &str, text: &str) -> Result<Self> {
        let mut read = Table::default();
        for (number, line) in numbered(text) {
            announce(&mut read, line)
                .and_then(|()| command(&mut read, line))
                .with_context(|| place(number, line))?;
        }
        let tables = [(table.to_owned(), read)].into();
        Ok(Self { tables })
    }
}

/// Lines that say something, counted from 1.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim_end));
    lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

pub(super) fn place(number: usize, line: &str) -> String {
    format!("line {number}, {line}")
}

fn read(rules: &mut Rules, open: &mut Option<String>, line: &str) -> Result<()> {
    if let Some(table) = line.strip_prefix('*') {
        ensure!(open.is_none(), "the table before it lacks its COMMIT");
        rules.tables.entry(table.to_owned()).or_default();
        *open = Some(table.to_owned());
        return Ok(());
    }
    let table = open.as_ref().context("it is in no table")?;
    let table = rules.tables.get_mut(table).context("the table is known")?;
    if line == "COMMIT" {
        *open = None;
    } else if let Some(chain) = line.strip_prefix(':') {
        declare(table, chain)?;
    } else {
        command(table, line)?;
    }
    Ok(())
}

/// `CHAIN POLICY [PACKETS:BYTES]`: what was in the chain is gone.
fn declare(table: &mut Table, line: &str) -> Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, word] = words[..2.min(words.len())] else {
        bail!("a chain has a name and a policy");
    };
    let counters = words.get(2).is_none_or(|word| is_counters(word));
    ensure!(
        counters && words.len() <= 3,
        "token {:?} is not known here",
        words[words.len() - 1]
    );
    let chain = Chain {
        policy: policy(word)?,
        rules: Vec::new(),
    };
    table.chains.insert(name.to_owned(), chain);
    Ok(())
}

fn is_counters(word: &str) -> bool {
    let inside = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    let pair = inside.and_then(|pair| pair.split_once(':'));
    pair.is_some_and(|(packets, bytes)| packets.parse::<u64>().is_ok() && bytes.parse::<u64>().is_ok())
}

/// Lone lines do not tell of chains beforehand.
fn announce(table: &mut Table, line: &str) -> Result<()> {
    let mut words = line.split_whitespace();
    if let Some(command @ ("-A" | "-I")) = words.next() {
        let name = words
            .next()
            .with_context(|| format!("token {command:?} wants a chain"))?;
        table.chains.entry(name.to_owned()).or_default();
    }
    Ok(())
}

fn command(table: &mut Table, line: &str) -> Result<()> {
    let mut words = Words::of(line)?;
    let command = words.expect("")?;
    let name = words.expect(&command)?;
    match command.as_str() {
        "-A" => chain(table, &name)?.rules.push(rule(words)?),
        "-I" => chain(table, &name)?.rules.insert(0, rule(words)?),
        "-N" => drop(table.chains.entry(name).or_default()),
        "-P" => table.chains.entry(name).or_default().policy = policy(&words.expect("-P")?)?,
        "-X" => {
            let gone = table.chains.remove(&name);
            let is_empty = gone.is_some_and(|chain| chain.rules == Vec::<Rule>::new());
            ensure!(is_empty, "only a chain without rules can be deleted");
        }
        other => bail!("token {other:?} is not known here"),
    }
    Ok(())
}

fn chain<'a>(table: &'a mut Table, name: &str) -> Result<&'a mut Chain> {
    let chain = table.chains.get_mut(name);
    chain.with_context(|| format!("chain {name} is not there"))
}
