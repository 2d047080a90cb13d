//! An interpreter of iptables rules: what becomes of the first packet of a flow, with which probability.
//!
//! ```text
//! iptables-restore, iptables-save, iptables -S ──parse::restore──┐
//! iptables -L [-n] [-v] ────────────────────────parse::listing──┴▶ Rules ──ask(Node, Packet)──▶ Answer
//!                                                 tables, chains, rules      hooks, walk, judge
//! ```
//! [`Rules::rendered`] are those that we write ourselves.
//!
//! It knows what kube-proxy has written in all its years and what container networks write beside it. Whatever it does not know is
//! an error that names the line and the word, so that no rule is ever skipped in silence.
//!
//! Probabilities are `f64`: a rule is taken as it is written. The kernel rounds `0.3333333333` to a multiple of 2⁻³¹, which
//! iptables-save shows as `0.33333333349`, and old versions of kube-proxy rounded to `0.33333`: whoever compares two answers says how
//! much of that he lets pass.

mod answer;
mod hooks;
mod judge;
mod model;
mod packet;
mod parse;
mod rendered;
mod walk;

pub use answer::{Answer, Fate, Outcome};
pub use model::{Chain, Match, Policy, Rule, Rules, Side, State, Table, Target, Test};
pub use packet::{Node, Packet};
pub use parse::Names;
