//! One module per kind of hook.

pub mod socket;
pub mod tc;
