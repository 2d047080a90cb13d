//! Reads a file of the table. Nothing is guessed: an unknown word is an error that names its line and the words there are.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use proxy_agent::model::TrafficPolicy;

use super::{Block, Client, Endpoint, Flow, Outcome, Source, words::find};
use crate::manifests::Condition;

/// The flows of a file whose first block has this number.
///
/// # Errors
///
/// A line is not understood, a block has no row, or the file no block.
pub(super) fn file(name: &str, text: &str, first: u16) -> Result<Vec<Flow>> {
    let mut reader = Reader {
        name,
        next: first,
        service: None,
        block: None,
        flows: Vec::new(),
    };
    for (line, number) in text.lines().zip(1..) {
        reader
            .line(line, number)
            .with_context(|| format!("flows/{name} line {number}: {line}"))?;
    }
    reader
        .end_block()
        .with_context(|| format!("flows/{name}, at its end"))?;
    ensure!(!reader.flows.is_empty(), "flows/{name} has no flows");
    Ok(reader.flows)
}

struct Reader<'a> {
    name: &'a str,
    next: u16,
    service: Option<&'a str>,
    block: Option<Arc<Block>>,
    flows: Vec<Flow>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str, number: u32) -> Result<()> {
        let columns = columns(line);
        match columns[..] {
            [] => Ok(()),
            ["service", service] => {
                self.end_block()?;
                self.service = Some(service);
                Ok(())
            }
            ["endpoints", endpoints] => self.begin_block(endpoints),
            [client, destination, expected] => self.row(number, [client, destination, expected]),
            _ => bail!(
                "neither `service  …`, `endpoints  …` nor `client  destination  outcome`, with two spaces or more in between"
            ),
        }
    }

    fn begin_block(&mut self, endpoints: &str) -> Result<()> {
        let service = self.service.take().context("no `service` line before it")?;
        self.block = Some(Arc::new(block(self.next, service, endpoints)?));
        self.next += 1;
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        ensure!(self.service.is_none(), "the `service` before has no `endpoints`");
        let Some(block) = self.block.take() else {
            return Ok(());
        };
        let last = self.flows.last().map(|flow| flow.block.number);
        ensure!(last == Some(block.number), "the `service` before has no flows");
        Ok(())
    }

    fn row(&mut self, line: u32, [client, destination, expected]: [&str; 3]) -> Result<()> {
        let block = self
            .block
            .clone()
            .context("no `service` and `endpoints` before it")?;
        let flow = Flow {
            place: format!("flows/{} line {line}", self.name),
            client: find("client", client, Client::ALL)?,
            destination: destination.parse()?,
            expected: outcome(expected)?,
            block,
        };
        if let Outcome::Any(all) | Outcome::One(all) = &flow.expected {
            let stranger = all.keys().find(|at| !flow.block.endpoints.contains_key(at));
            ensure!(
                stranger.is_none(),
                "`{}` is none of the endpoints",
                stranger.unwrap_or(&Endpoint::A)
            );
        }
        self.flows.push(flow);
        Ok(())
    }
}

/// Columns are two spaces or more apart; what follows a `#` is for readers.
fn columns(line: &str) -> Vec<&str> {
    let line = line.split('#').next().unwrap_or_default();
    let columns = line.split("  ").map(str::trim);
    columns.filter(|column| !column.is_empty()).collect()
}

fn block(number: u16, service: &str, endpoints: &str) -> Result<Block> {
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
    text.split(", ").map(endpoint).collect()
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

fn outcome(text: &str) -> Result<Outcome> {
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
    text.split(", ").map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "service    internal Cluster, external Local, range outside";

    fn fault(text: &str) -> String {
        format!("{:#}", file("x.txt", text, 1).expect_err("a fault"))
    }

    #[test]
    fn a_row_says_what_its_line_says() {
        let text = format!(
            "# who\n{SERVICE}\nendpoints  a, c terminating\n\npod a  NodePort here  a masqueraded, c kept  # why\n"
        );
        let flows = file("x.txt", &text, 7).expect("a table");
        let [flow] = &flows[..] else {
            panic!("one flow, not {flows:?}")
        };
        assert_eq!(flow.place, "flows/x.txt line 5");
        assert_eq!(
            (flow.client, flow.block.number),
            (Client::Endpoint(Endpoint::A), 7)
        );
        assert_eq!(flow.destination.to_string(), "NodePort here");
        assert_eq!(flow.expected.to_string(), "a masqueraded, c kept");
        assert_eq!(
            (flow.block.internal, flow.block.external),
            (TrafficPolicy::Cluster, TrafficPolicy::Local)
        );
        assert_eq!(flow.block.ranges, [Client::Outside]);
        assert_eq!(flow.block.endpoints[&Endpoint::C], Condition::Terminating);
    }

    #[test]
    fn an_unknown_word_is_named_with_its_line_and_the_words_there_are() {
        let row = |row: &str| format!("{SERVICE}\nendpoints  a\n{row}");
        for (text, word) in [
            (
                row("nobody  ClusterIP  a kept"),
                "`nobody` is no client; there are `pod here`",
            ),
            (
                row("outside  ClusterIP other  a kept"),
                "`ClusterIP other` is no destination",
            ),
            (row("outside  ClusterIP  e kept"), "`e` is no endpoint"),
            (row("outside  ClusterIP  a lost"), "`lost` is no source"),
            (row("outside  ClusterIP  rejected"), "`rejected` is no outcome"),
            (row("outside  ClusterIP  c kept"), "`c` is none of the endpoints"),
            (row("outside  ClusterIP"), "neither `service"),
            (
                format!("{SERVICE}\nendpoints  a broken"),
                "`broken` is no condition",
            ),
            (
                "service  internal Near, external Local\nendpoints  a".to_owned(),
                "`Near` is no policy",
            ),
            (
                "service  internal Local, fast\nendpoints  a".to_owned(),
                "`fast` is nothing of a service",
            ),
        ] {
            let fault = fault(&text);
            assert!(fault.contains(word), "{fault}");
            assert!(
                fault.starts_with(&format!("flows/x.txt line {}: ", text.lines().count())),
                "{fault}"
            );
        }
    }

    #[test]
    fn nothing_is_skipped_in_silence() {
        for (text, word) in [
            ("", "no flows"),
            ("# only words", "no flows"),
            (SERVICE, "no `endpoints`"),
            ("outside  ClusterIP  refused", "no `service`"),
            ("endpoints  a", "no `service`"),
            ("service  internal Local\nendpoints  a", "no external policy"),
            (&format!("{SERVICE}\nendpoints  a"), "no flows"),
            (
                &format!("{SERVICE}\nendpoints  a\n{SERVICE}\nendpoints  a\noutside  ClusterIP  refused"),
                "no flows",
            ),
        ] {
            let fault = fault(text);
            assert!(fault.contains(word), "{text}: {fault}");
        }
    }
}
