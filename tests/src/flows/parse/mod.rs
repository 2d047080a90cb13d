//! Reads a file of the table. Nothing is guessed: an unknown word is an error that names its line and the words there are.

mod fields;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};

use self::fields::{block, outcome};
use super::{Block, Client, Flow, Outcome, words::find};

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
        ends_at_own(&flow)?;
        self.flows.push(flow);
        Ok(())
    }
}

/// A flow ends at none but the endpoints of its Service.
fn ends_at_own(flow: &Flow) -> Result<()> {
    let (Outcome::Any(all) | Outcome::One(all)) = &flow.expected else {
        return Ok(());
    };
    match all.keys().find(|at| !flow.block.endpoints.contains_key(at)) {
        Some(stranger) => bail!("`{stranger}` is none of the endpoints"),
        None => Ok(()),
    }
}

/// The columns of a row of any table of the tests: two spaces or more apart. What follows a `#` is for readers.
#[must_use]
pub fn columns(line: &str) -> Vec<&str> {
    let line = line.split('#').next().unwrap_or_default();
    let columns = line.split("  ").map(str::trim);
    columns.filter(|column| !column.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use proxy_agent::model::TrafficPolicy;

    use super::{super::Endpoint, *};
    use crate::manifests::Condition;

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
            (
                row("outside  ClusterIP  a kept, a masqueraded"),
                "`a` is named twice",
            ),
            (row("outside  ClusterIP"), "neither `service"),
            (format!("{SERVICE}\nendpoints  a, a gone"), "`a` is named twice"),
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
                &format!("{SERVICE}\nendpoints  a\noutside  ClusterIP  refused\n{SERVICE}\nendpoints  a"),
                "no flows",
            ),
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
