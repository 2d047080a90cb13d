//! One module per kind of hook.

pub mod tc;
