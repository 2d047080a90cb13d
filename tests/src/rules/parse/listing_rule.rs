//! One rule of a listing: its columns and what follows them.

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    listing::Names,
    values::{
        destination, mark, marking, network, number, ports, probability, protocol, simple_target, states,
    },
    words::Words,
};
use crate::rules::{Match, Rule, Side, Target, Test};

/// Which columns a listing has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    /// Packets, bytes and interfaces, too.
    pub(super) verbose: bool,
}

pub(super) fn rule(line: &str, columns: Columns, names: &Names) -> Result<Rule> {
    let mut reader = Reader {
        words: Words::plain(&without_comments(line)?),
        target: None,
        rule: Rule::default(),
    };
    reader.columns(columns, names)?;
    while let Some(word) = reader.words.next() {
        reader
            .extension(&word)
            .with_context(|| format!("token {word:?}"))?;
    }
    reader.finish()
}

/// Comments may hold anything, and stand right before the next word.
fn without_comments(line: &str) -> Result<String> {
    let mut rest = line;
    let mut kept = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        let (_, behind) = comment.split_once("*/").context("a comment is never closed")?;
        kept.push_str(before);
        kept.push(' ');
        rest = behind;
    }
    Ok(kept + rest)
}

struct Reader {
    words: Words,
    /// A target that the words to come must explain.
    target: Option<String>,
    rule: Rule,
}

impl Reader {
    fn columns(&mut self, columns: Columns, names: &Names) -> Result<()> {
        if columns.verbose {
            self.words.expect("the line")?;
            self.words.expect("the number of packets")?;
        }
        // A rule without a target has nothing in that column.
        if self.words.peek(1) != Some("--") {
            let target = self.words.expect("the target's place")?;
            self.set_target(target);
        }
        let (negated, word) = self.negatable("the protocol's place")?;
        if let Some(protocol) = protocol(&word)? {
            self.push(negated, Test::Protocol(protocol));
        }
        ensure!(self.words.takes("--"), "a rule for fragments is not known here");
        if columns.verbose {
            self.interface(Side::Source)?;
            self.interface(Side::Destination)?;
        }
        self.address(Side::Source, names)?;
        self.address(Side::Destination, names)
    }

    fn set_target(&mut self, name: String) {
        match name.as_str() {
            "MARK" | "DNAT" => self.target = Some(name),
            other => self.rule.target = Some(simple_target(other).unwrap_or(Target::Jump(name))),
        }
    }

    fn interface(&mut self, side: Side) -> Result<()> {
        let (negated, name) = self.negatable("an interface's place")?;
        if name != "*" {
            self.push(negated, Test::Interface(side, name));
        }
        Ok(())
    }

    fn address(&mut self, side: Side, names: &Names) -> Result<()> {
        let (negated, word) = self.negatable("an address's place")?;
        if ["anywhere", "0.0.0.0/0", "::/0"].contains(&word.as_str()) {
            return Ok(());
        }
        let net = names.get(&word).copied().map_or_else(|| network(&word), Ok);
        let net = net.with_context(|| format!("token {word:?}, or a name that nobody has explained"))?;
        self.push(negated, Test::Address(side, net));
        Ok(())
    }

    /// What follows the columns.
    fn extension(&mut self, word: &str) -> Result<()> {
        if let Some(value) = word.strip_prefix("dpt:").or_else(|| word.strip_prefix("dpts:")) {
            return self.ports(Side::Destination, value);
        }
        if let Some(value) = word.strip_prefix("spt:").or_else(|| word.strip_prefix("spts:")) {
            return self.ports(Side::Source, value);
        }
        if let Some(to) = word.strip_prefix("to:") {
            return self.explain("DNAT", destination(to)?);
        }
        match word {
            "tcp" | "udp" | "sctp" => self.same_protocol(word),
            "ADDRTYPE" => self.address_type(),
            "statistic" => self.statistic(),
            "mark" => self.mark(),
            "MARK" => self.marking(),
            "recent:" => self.recent(),
            "PHYSDEV" => self.bridge_port(),
            "ctstate" => self.states(false),
            "!" => {
                self.then("ctstate")?;
                self.states(true)
            }
            "[goto]" => self.goto(),
            "nfacct-name" | "reject-with" => self.words.expect(word).map(drop),
            "random-fully" => Ok(()),
            _ => bail!("is not known here"),
        }
    }

    fn ports(&mut self, side: Side, value: &str) -> Result<()> {
        let (negated, value) = bang(value);
        self.push(negated, Test::Ports(side, ports(value)?));
        Ok(())
    }

    fn same_protocol(&self, word: &str) -> Result<()> {
        let protocol = protocol(word)?.map(Test::Protocol);
        let mut tests = self.rule.matches.iter();
        ensure!(
            tests.any(|at| Some(&at.test) == protocol.as_ref()),
            "is not the rule's protocol"
        );
        Ok(())
    }

    /// `ADDRTYPE match dst-type [!]LOCAL`.
    fn address_type(&mut self) -> Result<()> {
        self.then("match")?;
        let side = match self.words.expect("match")?.as_str() {
            "src-type" => Side::Source,
            "dst-type" => Side::Destination,
            other => bail!("followed by {other:?}, which is not known here"),
        };
        let (negated, kind) = self.negatable("the type")?;
        ensure!(kind == "LOCAL", "no type of address but LOCAL is known here");
        self.push(negated, Test::Local(side));
        Ok(())
    }

    /// `statistic mode random [!] probability SHARE`.
    fn statistic(&mut self) -> Result<()> {
        self.then("mode")?;
        self.then("random")?;
        let negated = self.words.takes("!");
        self.then("probability")?;
        let share = self.words.expect("probability")?;
        self.push(negated, Test::Random(probability(&share)?));
        Ok(())
    }

    /// `mark match [!] VALUE[/MASK]`.
    fn mark(&mut self) -> Result<()> {
        self.then("match")?;
        let negated = self.words.takes("!");
        let word = self.words.expect("match")?;
        let (value, mask) = mark(&word)?;
        self.push(negated, Test::Mark { value, mask });
        Ok(())
    }

    /// `MARK set|xset|or|xor|and VALUE[/MASK]`.
    fn marking(&mut self) -> Result<()> {
        let operation = match self.words.expect("MARK")?.as_str() {
            "set" => "--set-mark",
            "xset" => "--set-xmark",
            "or" => "--or-mark",
            "xor" => "--xor-mark",
            "and" => "--and-mark",
            other => bail!("followed by {other:?}, which is not known here"),
        };
        let value = self.words.expect(operation)?;
        self.explain("MARK", marking(operation, &value)?)
    }

    /// `recent: SET|CHECK [seconds: N] [reap] name: LIST side: source [mask: ALL]`.
    fn recent(&mut self) -> Result<()> {
        let action = self.words.expect("recent:")?;
        let seconds = if self.words.takes("seconds:") {
            Some(number(&self.words.expect("seconds:")?)?)
        } else {
            None
        };
        self.words.takes("reap");
        self.then("name:")?;
        let list = self.words.expect("name:")?;
        self.then("side:")?;
        self.then("source")?;
        if self.words.takes("mask:") {
            self.words.expect("mask:")?;
        }
        let test = match (action.as_str(), seconds) {
            ("SET", None) => Test::Remember(list),
            ("CHECK", seconds) => Test::RecentlySeen { list, seconds },
            _ => bail!("followed by {action:?}, which is not known here"),
        };
        self.push(false, test);
        Ok(())
    }

    /// `PHYSDEV match [!] --physdev-is-in`.
    fn bridge_port(&mut self) -> Result<()> {
        self.then("match")?;
        let negated = self.words.takes("!");
        self.then("--physdev-is-in")?;
        self.push(negated, Test::FromBridgePort);
        Ok(())
    }

    fn states(&mut self, negated: bool) -> Result<()> {
        let names = self.words.expect("ctstate")?;
        self.push(negated, Test::States(states(&names)?));
        Ok(())
    }

    fn goto(&mut self) -> Result<()> {
        let Some(Target::Jump(chain)) = self.rule.target.take() else {
            bail!("is said of no chain");
        };
        self.rule.target = Some(Target::Goto(chain));
        Ok(())
    }

    fn explain(&mut self, name: &str, target: Target) -> Result<()> {
        ensure!(self.target.as_deref() == Some(name), "belongs to {name}");
        self.target = None;
        self.rule.target = Some(target);
        Ok(())
    }

    fn then(&mut self, word: &str) -> Result<()> {
        ensure!(self.words.takes(word), "lacks {word:?}");
        Ok(())
    }

    fn negatable(&mut self, before: &str) -> Result<(bool, String)> {
        let word = self.words.expect(before)?;
        let (negated, rest) = bang(&word);
        Ok((negated, rest.to_owned()))
    }

    fn push(&mut self, negated: bool, test: Test) {
        self.rule.matches.push(Match { negated, test });
    }

    fn finish(self) -> Result<Rule> {
        match self.target {
            Some(target) => bail!("{target} lacks what it does"),
            None => Ok(self.rule),
        }
    }
}

/// Whether `!` is before a word, and the word.
fn bang(word: &str) -> (bool, &str) {
    word.strip_prefix('!').map_or((false, word), |rest| (true, rest))
}
