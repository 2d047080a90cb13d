//! Where packets go by the model, asked from outside: no dataplane takes part.
//!
//! ```text
//! YAML of a table ──source::manifests──▶ Cluster ─┐
//!                                                 ├─compute─▶ Desired ──tracer──▶ Outcome ══ what the table says
//! random objects ─────────────────────▶ Cluster ──┘                               Outcome ══ what the oracle says
//! ```
//! What holds here, every dataplane has to do.

mod oracle;
mod packet;
mod tables;
mod tracer;
