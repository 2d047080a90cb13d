//! Texts as rules.

mod listing;
mod listing_rule;
mod restore;
mod rule;
mod values;
mod words;

pub use listing::Names;
