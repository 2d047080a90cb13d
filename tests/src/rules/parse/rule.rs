//! A rule as iptables-restore takes it and iptables-save prints it.

use anyhow::{Context as _, Result, bail, ensure};
use proxy_agent::model::Protocol;

use super::{
    values::{
        destination, mark, marking, network, number, ports, probability, protocol, simple_target, states,
    },
    words::Words,
};
use crate::rules::{Match, Rule, Side, Target, Test};

/// Reads the words after `-A CHAIN`.
pub(super) fn rule(words: Words) -> Result<Rule> {
    let mut reader = Reader {
        words,
        negated: false,
        modules: Vec::new(),
        rule: Rule::default(),
        recent: Recent::default(),
        awaited: None,
    };
    while let Some(word) = reader.words.next() {
        reader.option(&word).with_context(|| format!("token {word:?}"))?;
    }
    reader.finish()
}

struct Reader {
    words: Words,
    /// Whether `!` was the last word.
    negated: bool,
    /// `-m`.
    modules: Vec<String>,
    rule: Rule,
    /// The options of `-m recent`, which come in any order.
    recent: Recent,
    /// A target that is nothing without an option.
    awaited: Option<&'static str>,
}

#[derive(Default)]
struct Recent {
    list: Option<String>,
    action: Option<RecentAction>,
    seconds: Option<u32>,
    negated: bool,
    /// Where among the matches it was announced.
    position: usize,
}

enum RecentAction {
    Check,
    Set,
}

impl Reader {
    fn option(&mut self, word: &str) -> Result<()> {
        if word == "!" {
            ensure!(!self.negated, "two of them follow each other");
            self.negated = true;
            return Ok(());
        }
        if let Some(module) = module_of(word) {
            ensure!(
                self.modules
                    .iter()
                    .any(|loaded| module.contains(&loaded.as_str())),
                "needs -m {}",
                module.join(" or -m ")
            );
        }
        let known = self.header(word)? || self.matching(word)? || self.recent(word)? || self.target(word)?;
        ensure!(known, "is not known here");
        ensure!(!self.negated, "cannot be negated");
        Ok(())
    }

    /// What every rule may have.
    fn header(&mut self, word: &str) -> Result<bool> {
        match word {
            "-s" | "--source" => self.test(word, |net| Ok(Test::Address(Side::Source, network(net)?)))?,
            "-d" | "--destination" => {
                self.test(word, |net| Ok(Test::Address(Side::Destination, network(net)?)))?;
            }
            "-i" => self.test(word, |name| Ok(Test::Interface(Side::Source, name.to_owned())))?,
            "-o" => self.test(word, |name| {
                Ok(Test::Interface(Side::Destination, name.to_owned()))
            })?,
            "-p" => self.test(word, |name| {
                protocol(name)?
                    .map(Test::Protocol)
                    .context("all protocols are no test")
            })?,
            "-m" => self.module()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn module(&mut self) -> Result<()> {
        let module = self.words.expect("-m")?;
        ensure!(
            MODULES.contains(&module.as_str()),
            "the match {module:?} is not known here"
        );
        if module == "recent" {
            ensure!(self.recent.action.is_none(), "a rule asks two lists");
            self.recent.position = self.rule.matches.len();
        }
        self.modules.push(module);
        Ok(())
    }

    fn matching(&mut self, word: &str) -> Result<bool> {
        match word {
            "--comment" | "--nfacct-name" => drop(self.words.expect(word)?),
            "--mode" => ensure!(self.words.takes("random"), "no mode but random is known here"),
            "--probability" => self.test(word, |share| Ok(Test::Random(probability(share)?)))?,
            "--dport" => self.test(word, |port| Ok(Test::Ports(Side::Destination, ports(port)?)))?,
            "--sport" => self.test(word, |port| Ok(Test::Ports(Side::Source, ports(port)?)))?,
            "--src-type" => self.test(word, |kind| local(Side::Source, kind))?,
            "--dst-type" => self.test(word, |kind| local(Side::Destination, kind))?,
            "--ctstate" => self.test(word, |names| Ok(Test::States(states(names)?)))?,
            "--ctdir" => self.test(word, direction)?,
            "--mark" => self.test(word, |word| {
                let (value, mask) = mark(word)?;
                Ok(Test::Mark { value, mask })
            })?,
            "--physdev-is-in" => self.push(Test::FromBridgePort),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn recent(&mut self, word: &str) -> Result<bool> {
        match word {
            "--name" => self.recent.list = Some(self.words.expect(word)?),
            "--seconds" => self.recent.seconds = Some(number(&self.words.expect(word)?)?),
            "--rcheck" => self.recent_action(RecentAction::Check)?,
            "--set" => self.recent_action(RecentAction::Set)?,
            // Entries that are too old are no entries, whether they are removed or not.
            "--reap" | "--rsource" => {}
            "--mask" => {
                let mask = self.words.expect(word)?;
                ensure!(
                    ["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"].contains(&mask.as_str()),
                    "lists of networks are not known here"
                );
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn recent_action(&mut self, action: RecentAction) -> Result<()> {
        ensure!(self.recent.action.is_none(), "there is an action before");
        self.recent.action = Some(action);
        self.recent.negated = std::mem::take(&mut self.negated);
        Ok(())
    }

    fn target(&mut self, word: &str) -> Result<bool> {
        let target = match word {
            "-j" => {
                let name = self.words.expect(word)?;
                self.awaited = ["DNAT", "MARK"].into_iter().find(|target| *target == name);
                if self.awaited.is_some() {
                    return Ok(true);
                }
                simple_target(&name).unwrap_or(Target::Jump(name))
            }
            "-g" => Target::Goto(self.words.expect(word)?),
            "--to-destination" => self.option_of("DNAT").and_then(|value| destination(&value))?,
            "--set-xmark" | "--set-mark" | "--or-mark" | "--xor-mark" | "--and-mark" => {
                self.option_of("MARK").and_then(|value| marking(word, &value))?
            }
            // Which port is chosen does not matter here.
            "--random-fully" | "--random" => {
                let masquerades = self.rule.target == Some(Target::Masquerade);
                ensure!(masquerades, "belongs to MASQUERADE");
                return Ok(true);
            }
            // Nor does the way in which nobody is told to be there.
            "--reject-with" => {
                ensure!(self.rule.target == Some(Target::Reject), "belongs to REJECT");
                self.words.expect(word)?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        ensure!(self.rule.target.is_none(), "is a second target");
        self.rule.target = Some(target);
        Ok(true)
    }

    fn option_of(&mut self, target: &str) -> Result<String> {
        ensure!(self.awaited == Some(target), "belongs to {target}");
        self.awaited = None;
        self.words.expect(target)
    }

    fn test(&mut self, word: &str, read: impl FnOnce(&str) -> Result<Test>) -> Result<()> {
        let value = self.words.expect(word)?;
        self.push(read(&value)?);
        Ok(())
    }

    fn push(&mut self, test: Test) {
        let negated = std::mem::take(&mut self.negated);
        self.rule.matches.push(Match { negated, test });
    }

    fn finish(mut self) -> Result<Rule> {
        ensure!(!self.negated, "token \"!\" is the last word");
        if let Some(target) = self.awaited {
            bail!("{target} lacks its option");
        }
        self.finish_recent()?;
        for module in ["tcp", "udp", "sctp"] {
            let of_module = |test: &Match| {
                !test.negated && matches!(test.test, Test::Protocol(at) if protocol_name(at) == module)
            };
            ensure!(
                !self.modules.iter().any(|at| at == module) || self.rule.matches.iter().any(of_module),
                "-m {module} needs -p {module}"
            );
        }
        Ok(self.rule)
    }

    fn finish_recent(&mut self) -> Result<()> {
        if !self.modules.iter().any(|module| module == "recent") {
            return Ok(());
        }
        let list = self.recent.list.take().context("-m recent without --name")?;
        let test = match &self.recent.action {
            Some(RecentAction::Set) => Test::Remember(list),
            Some(RecentAction::Check) => Test::RecentlySeen {
                list,
                seconds: self.recent.seconds,
            },
            None => bail!("-m recent without --rcheck or --set"),
        };
        let negated = self.recent.negated;
        self.rule
            .matches
            .insert(self.recent.position, Match { negated, test });
        Ok(())
    }
}

const MODULES: [&str; 11] = [
    "comment",
    "tcp",
    "udp",
    "sctp",
    "mark",
    "addrtype",
    "statistic",
    "recent",
    "conntrack",
    "physdev",
    "nfacct",
];

/// The modules that an option belongs to; `None` for those that need none.
fn module_of(option: &str) -> Option<&'static [&'static str]> {
    Some(match option {
        "--comment" => &["comment"],
        "--nfacct-name" => &["nfacct"],
        "--mode" | "--probability" => &["statistic"],
        "--dport" | "--sport" => &["tcp", "udp", "sctp"],
        "--src-type" | "--dst-type" => &["addrtype"],
        "--ctstate" | "--ctdir" => &["conntrack"],
        "--mark" => &["mark"],
        "--physdev-is-in" => &["physdev"],
        "--name" | "--seconds" | "--rcheck" | "--set" | "--reap" | "--rsource" | "--mask" => &["recent"],
        _ => return None,
    })
}

const fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

fn local(side: Side, kind: &str) -> Result<Test> {
    ensure!(kind == "LOCAL", "no type of address but LOCAL is known here");
    Ok(Test::Local(side))
}

fn direction(name: &str) -> Result<Test> {
    ensure!(
        name == "ORIGINAL",
        "the first packet of a flow has no direction but ORIGINAL"
    );
    Ok(Test::FirstDirection)
}
