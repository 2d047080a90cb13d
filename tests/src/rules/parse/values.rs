//! Single words as values.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;
use proxy_agent::model::Protocol;

use crate::rules::{Policy, State, Target};

/// An address or a network; host bits do not matter.
pub(super) fn network(word: &str) -> Result<IpNet> {
    let address = word.parse::<IpAddr>().map(IpNet::from);
    let net = address.or_else(|_| word.parse::<IpNet>());
    net.map(|net| net.trunc())
        .with_context(|| format!("{word:?} is no address or network"))
}

/// TCP, UDP and SCTP by name or number; `None` for all.
pub(super) fn protocol(word: &str) -> Result<Option<Protocol>> {
    Ok(Some(match word {
        "tcp" | "6" => Protocol::Tcp,
        "udp" | "17" => Protocol::Udp,
        "sctp" | "132" => Protocol::Sctp,
        "all" | "0" => return Ok(None),
        other => bail!("{other:?} is no protocol that is known here"),
    }))
}

/// One port or `FIRST:LAST`, by numbers or by the few names that listings show.
pub(super) fn ports(word: &str) -> Result<RangeInclusive<u16>> {
    let (first, last) = word.split_once(':').unwrap_or((word, word));
    Ok(port(first)?..=port(last)?)
}

fn port(word: &str) -> Result<u16> {
    Ok(match word {
        "domain" => 53,
        "http" => 80,
        "https" => 443,
        number => number
            .parse()
            .with_context(|| format!("{number:?} is no port that is known here"))?,
    })
}

/// A number, hexadecimal after `0x`.
pub(super) fn number(word: &str) -> Result<u32> {
    let number = match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => word.parse(),
    };
    number.with_context(|| format!("{word:?} is no number"))
}

/// `VALUE[/MASK]`: without a mask all bits count.
pub(super) fn mark(word: &str) -> Result<(u32, u32)> {
    let (value, mask) = word.split_once('/').unwrap_or((word, "0xffffffff"));
    Ok((number(value)?, number(mask)?))
}

/// What is done to marks, by the names of iptables-restore's options.
pub(super) fn marking(operation: &str, word: &str) -> Result<Target> {
    let (value, mask) = mark(word)?;
    Ok(match operation {
        "--set-xmark" => Target::Mark { value, mask },
        "--set-mark" => Target::Mark {
            value,
            mask: mask | value,
        },
        "--or-mark" => Target::Mark { value, mask: value },
        "--xor-mark" => Target::Mark { value, mask: 0 },
        "--and-mark" => Target::Mark {
            value: 0,
            mask: !value,
        },
        other => bail!("{other:?} is nothing that MARK does"),
    })
}

/// A share of all packets.
pub(super) fn probability(word: &str) -> Result<f64> {
    let share = word.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.with_context(|| format!("{word:?} is no probability"))
}

/// States with commas between.
pub(super) fn states(word: &str) -> Result<Vec<State>> {
    let state = |name| {
        Ok(match name {
            "NEW" => State::New,
            "ESTABLISHED" => State::Established,
            "RELATED" => State::Related,
            "INVALID" => State::Invalid,
            "UNTRACKED" => State::Untracked,
            "DNAT" => State::Dnat,
            "SNAT" => State::Snat,
            other => bail!("{other:?} is no state of conntrack"),
        })
    };
    word.split(',').map(state).collect()
}

/// `ADDRESS[:PORT]`, with brackets around an IPv6 address that has a port.
pub(super) fn destination(word: &str) -> Result<Target> {
    if let Ok(to) = word.parse::<SocketAddr>() {
        return Ok(Target::Dnat(to.ip(), Some(to.port())));
    }
    let address = word.trim_start_matches('[').trim_end_matches(']');
    let address = address
        .parse()
        .with_context(|| format!("{word:?} is no destination"))?;
    Ok(Target::Dnat(address, None))
}

/// `ACCEPT`, `DROP`, or `-` for chains that are not built in.
pub(super) fn policy(word: &str) -> Result<Policy> {
    Ok(match word {
        "ACCEPT" => Policy::Accept,
        "DROP" => Policy::Drop,
        "-" => Policy::Return,
        other => bail!("{other:?} is no policy"),
    })
}

/// Targets that are no chains and need no more words.
pub(super) fn simple_target(word: &str) -> Option<Target> {
    Some(match word {
        "ACCEPT" => Target::Accept,
        "DROP" => Target::Drop,
        "RETURN" => Target::Return,
        "REJECT" => Target::Reject,
        "MASQUERADE" => Target::Masquerade,
        _ => return None,
    })
}
