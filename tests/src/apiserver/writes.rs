//! Many changes on one connection: a test that makes thousands of them has no time for a handshake each.

use anyhow::{Context as _, Result};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};

use super::{Client, api};

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// As [`Client::apply`].
    Apply(Value),
    /// As [`Client::apply_status`]: the object, and its status.
    Status(Value, Value),
    /// As [`Client::delete`].
    Delete(Value),
}

impl Client {
    /// Makes the changes, one after the other.
    ///
    /// # Errors
    ///
    /// As [`Client::apply`]; the change is in the message, those after it are not made.
    pub fn write_all(&self, writes: &[Write]) -> Result<()> {
        self.session(async |client| {
            for write in writes {
                let api = api(client.clone(), write.object())?;
                write.make(&api).await.with_context(|| format!("{write:?}"))?;
            }
            Ok(())
        })
    }
}

impl Write {
    const fn object(&self) -> &Value {
        let (Self::Apply(object) | Self::Status(object, _) | Self::Delete(object)) = self;
        object
    }

    async fn make(&self, api: &Api<DynamicObject>) -> Result<()> {
        let name = self.object()["metadata"]["name"]
            .as_str()
            .context("an object without a name")?;
        match self {
            Self::Apply(object) => {
                let parameters = PatchParams::apply("test").force();
                api.patch(name, &parameters, &Patch::Apply(object)).await?;
            }
            Self::Status(_, status) => {
                let patch = Patch::Merge(json!({ "status": status }));
                api.patch_status(name, &PatchParams::default(), &patch).await?;
            }
            Self::Delete(_) => drop(api.delete(name, &DeleteParams::default()).await?),
        }
        Ok(())
    }
}
