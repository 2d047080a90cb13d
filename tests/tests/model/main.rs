//! Where packets go by the model, asked from outside, and the iptables rules that say so: no kernel takes part.
//!
//! ```text
//! YAML of a table ──source::manifests──▶ Cluster ─┐
//!                                                 ├─compute─▶ Desired ──tracer──▶ Outcome ══ what the table says
//! random objects ─────────────────────▶ Cluster ──┘                               Outcome ══ what the oracle says
//! ```
//! The table of flows in `tests/flows` goes both ways, too. What holds here, every dataplane has to do. [`render`] is about the
//! rules.

mod flows;
mod oracle;
mod packet;
mod render;
mod rules;
mod tables;
mod tracer;
