//! Through the real API server.
use anyhow::Result;

use super::Plan;
use crate::figures::Figure;

pub(super) fn measure(_plan: Plan) -> Result<Option<Vec<Figure>>> {
    Ok(None)
}
