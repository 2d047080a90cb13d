//! The stations of a packet, in the kernel's order.

use anyhow::{Context as _, Result};

use super::{
    Answer, Fate, Node, Outcome, Packet, Rules,
    walk::{Hook, Place, Traveller, Verdict, hook},
};

impl Rules {
    /// What becomes of the packet. A table that is missing lets everything pass.
    ///
    /// The hooks are asked as the kernel does: `nat` before the routing decision, `filter` after it, `nat` once more for what leaves.
    /// What the node sends to itself is filtered on both ways.
    ///
    /// # Errors
    ///
    /// The kernel would refuse the rules, or a table has no chain for one of its hooks.
    pub fn ask(&self, node: &Node, packet: &Packet) -> Result<Answer> {
        self.check()?;
        let first = match packet.interface {
            Some(_) => Hook::Prerouting,
            None => Hook::Output,
        };
        let mut answer = Answer::default();
        for (verdict, at) in self.visit("nat", Traveller::start(packet.clone()), node, first)? {
            let ends = match verdict {
                Verdict::Accept => self.after_routing(at, node)?,
                verdict => vec![(verdict, at)],
            };
            for (verdict, at) in ends {
                let probability = at.probability;
                answer.add(outcome(verdict, at), probability);
            }
        }
        Ok(answer)
    }

    fn after_routing(&self, at: Traveller, node: &Node) -> Result<Vec<(Verdict, Traveller)>> {
        let is_to_node = node.is_local(at.packet.destination.ip());
        let stations: &[(&str, Hook)] = match (at.packet.interface.is_some(), is_to_node) {
            (true, true) => &[("filter", Hook::Input)],
            (true, false) => &[("filter", Hook::Forward), ("nat", Hook::Postrouting)],
            (false, false) => &[("filter", Hook::Output), ("nat", Hook::Postrouting)],
            (false, true) => &[
                ("filter", Hook::Output),
                ("nat", Hook::Postrouting),
                ("filter", Hook::Input),
            ],
        };
        let mut ends = vec![(Verdict::Accept, at)];
        for (table, hook) in stations {
            let mut next = Vec::new();
            for (verdict, at) in ends {
                match verdict {
                    Verdict::Accept => next.extend(self.visit(table, at, node, *hook)?),
                    verdict => next.push((verdict, at)),
                }
            }
            ends = next;
        }
        Ok(ends)
    }

    fn visit(
        &self,
        table: &str,
        at: Traveller,
        node: &Node,
        at_hook: Hook,
    ) -> Result<Vec<(Verdict, Traveller)>> {
        match self.tables.get(table) {
            Some(rules) => {
                hook(rules, at, Place { node, hook: at_hook }).with_context(|| format!("table {table}"))
            }
            None => Ok(vec![(Verdict::Accept, at)]),
        }
    }
}

fn outcome(verdict: Verdict, at: Traveller) -> Outcome {
    let fate = match (verdict, at.endpoint) {
        (Verdict::Drop, _) => Fate::Dropped,
        (Verdict::Reject, _) => Fate::Rejected,
        (Verdict::Accept, Some(endpoint)) => Fate::Endpoint(endpoint),
        (Verdict::Accept, None) => Fate::Untouched,
    };
    Outcome {
        fate,
        masqueraded_by: at.masqueraded_by,
        remembered_in: at.remembered_in,
    }
}
