//! What a block and an outcome are made of.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use proxy_agent::model::TrafficPolicy;

use super::super::{Block, Client, Endpoint, Outcome, Source, words::find};
use crate::manifests::Condition;

/// A Service, `internal POLICY, external POLICY` and maybe more, and its endpoints.
pub(super) fn block(number: u16, service: &str, endpoints: &str) -> Result<Block> {
    let (mut internal, mut external) = (None, None);
    let mut block = Block {
        number,
        title: format!("{service}; endpoints {endpoints}"),
        internal: TrafficPolicy::Cluster,
        external: TrafficPolicy::Cluster,
        ranges: Vec::new(),
        affinity: false,
        other_protocol: false,
        endpoints: self::endpoints(endpoints)?,
    };
    for field in service.split(", ") {
        match field.split_once(' ') {
            Some(("internal", to)) => internal = Some(policy(to)?),
            Some(("external", to)) => external = Some(policy(to)?),
            Some(("range", client)) => block.ranges.push(find("client", client, Client::ALL)?),
            _ if field == "affinity" => block.affinity = true,
            _ if field == "other protocol without endpoints" => block.other_protocol = true,
            _ => bail!(
                "`{field}` is nothing of a service; there are `internal POLICY`, `external POLICY`, `range CLIENT`, `affinity`, \
                 `other protocol without endpoints`"
            ),
        }
    }
    block.internal = internal.context("no internal policy")?;
    block.external = external.context("no external policy")?;
    Ok(block)
}

fn policy(text: &str) -> Result<TrafficPolicy> {
    match text {
        "Cluster" => Ok(TrafficPolicy::Cluster),
        "Local" => Ok(TrafficPolicy::Local),
        _ => bail!("`{text}` is no policy; there are `Cluster`, `Local`"),
    }
}

fn endpoints(text: &str) -> Result<BTreeMap<Endpoint, Condition>> {
    if text == "none" {
        return Ok(BTreeMap::new());
    }
    distinct(text.split(", ").map(endpoint))
}

fn endpoint(text: &str) -> Result<(Endpoint, Condition)> {
    let (name, condition) = text.split_once(' ').unwrap_or((text, "ready"));
    let condition = match condition {
        "ready" => Condition::Ready,
        "unready" => Condition::Unready,
        "terminating" => Condition::Terminating,
        "gone" => Condition::Gone,
        _ => bail!("`{condition}` is no condition; there are `ready`, `unready`, `terminating`, `gone`"),
    };
    Ok((find("endpoint", name, Endpoint::ALL)?, condition))
}

/// The last column.
pub(super) fn outcome(text: &str) -> Result<Outcome> {
    Ok(match text {
        "refused" => Outcome::Refused,
        "silence" => Outcome::Silence,
        "left alone" => Outcome::LeftAlone,
        _ => match text.strip_prefix("one of ") {
            Some(all) => Outcome::One(targets(all)?),
            None => Outcome::Any(targets(text)?),
        },
    })
}

fn targets(text: &str) -> Result<BTreeMap<Endpoint, Source>> {
    let target = |text: &str| {
        let (endpoint, source) = text.split_once(' ').with_context(|| {
            format!("`{text}` is no outcome; there are `ENDPOINT kept`, `ENDPOINT masqueraded`, several of these after commas \
                 and maybe after `one of`, `refused`, `silence`, `left alone`")
        })?;
        let endpoint = find("endpoint", endpoint, Endpoint::ALL)?;
        Ok((
            endpoint,
            find("source", source, [Source::Kept, Source::Masqueraded])?,
        ))
    };
    distinct(text.split(", ").map(target))
}

fn distinct<T>(all: impl Iterator<Item = Result<(Endpoint, T)>>) -> Result<BTreeMap<Endpoint, T>> {
    let mut found = BTreeMap::new();
    for one in all {
        let (endpoint, value) = one?;
        ensure!(
            found.insert(endpoint, value).is_none(),
            "`{endpoint}` is named twice"
        );
    }
    Ok(found)
}
