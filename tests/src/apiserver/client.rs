//! Requests to the API server. Objects are JSON documents with `apiVersion` and `kind`, as one would write them in YAML.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use kube::{
    Api, Config, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::Value;

use crate::netns::NetNs;

/// Sends requests from a namespace, each on a connection of its own: servers come and go here.
#[derive(Clone, Debug)]
pub struct Client {
    ns: Arc<NetNs>,
    kubeconfig: PathBuf,
    server: Option<String>,
}

impl Client {
    /// A client in `ns` that is who `kubeconfig` says.
    #[must_use]
    pub const fn new(ns: Arc<NetNs>, kubeconfig: PathBuf) -> Self {
        Self {
            ns,
            kubeconfig,
            server: None,
        }
    }

    /// The same user elsewhere, who reaches the server at another URL.
    #[must_use]
    pub fn via(&self, ns: &Arc<NetNs>, url: &str) -> Self {
        Self {
            ns: Arc::clone(ns),
            kubeconfig: self.kubeconfig.clone(),
            server: Some(url.to_owned()),
        }
    }

    /// Creates the object, or changes it to be as written (server-side apply), and gives its resource version.
    ///
    /// # Errors
    ///
    /// The server does not answer or refuses, see [`refusal`].
    pub fn apply(&self, object: &Value) -> Result<String> {
        let parameters = PatchParams::apply("test").force();
        self.run(object, async |api, name| {
            api.patch(name, &parameters, &Patch::Apply(object)).await
        })
        .map(|object| object.metadata.resource_version.unwrap_or_default())
    }

    /// Creates the object by POST.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply); also if there is such an object.
    pub fn create(&self, object: &Value) -> Result<()> {
        let dynamic: DynamicObject = serde_json::from_value(object.clone())?;
        self.run(object, async |api, _| {
            api.create(&PostParams::default(), &dynamic).await
        })
        .map(drop)
    }

    /// Posts a question, such as a `SelfSubjectRulesReview`, and gives it back with the answer in `status`.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn ask(&self, question: &Value) -> Result<Value> {
        let dynamic: DynamicObject = serde_json::from_value(question.clone())?;
        let answer = self.session(async |client| {
            let api = api(client, question)?;
            Ok(api.create(&PostParams::default(), &dynamic).await?)
        })?;
        Ok(serde_json::to_value(answer)?)
    }

    /// Writes the `status` of an object, which [`apply`](Self::apply) leaves alone.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn apply_status(&self, object: &Value, status: &Value) -> Result<()> {
        let patch = Patch::Merge(serde_json::json!({ "status": status }));
        self.run(object, async |api, name| {
            api.patch_status(name, &PatchParams::default(), &patch).await
        })
        .map(drop)
    }

    /// Deletes the object.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply); also if there is none.
    pub fn delete(&self, object: &Value) -> Result<()> {
        self.run(object, async |api, name| {
            api.delete(name, &DeleteParams::default()).await
        })
        .map(drop)
    }

    /// Reads the object that has the kind, namespace and name of `object`.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply); also if there is none.
    pub fn get(&self, object: &Value) -> Result<Value> {
        let found = self.run(object, async |api, name| api.get(name).await)?;
        Ok(serde_json::to_value(found)?)
    }

    /// Names of the objects that have the kind and namespace of `object`.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn list(&self, object: &Value) -> Result<Vec<String>> {
        let list = self.run(object, async |api, _| api.list(&ListParams::default()).await)?;
        Ok(list.iter().map(|object| object.name_any()).collect())
    }

    /// Makes many requests on connections that stay open.
    ///
    /// # Errors
    ///
    /// There is no way to the server, or `job` fails.
    pub fn session<T: Send>(&self, job: impl AsyncFnOnce(kube::Client) -> Result<T> + Send) -> Result<T> {
        // The runtime has no thread but this one, so its sockets are in the namespace.
        self.ns.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async { job(self.connect().await?).await })
        })
    }

    fn run<T: Send>(
        &self,
        object: &Value,
        request: impl AsyncFnOnce(Api<DynamicObject>, &str) -> kube::Result<T> + Send,
    ) -> Result<T> {
        let name = object["metadata"]["name"]
            .as_str()
            .context("an object without a name")?;
        self.session(async |client| {
            let api = api(client, object)?;
            request(api, name)
                .await
                .with_context(|| format!("{} {name}", object["kind"]))
        })
    }

    async fn connect(&self) -> Result<kube::Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        if let Some(url) = &self.server {
            config.cluster_url = url.parse()?;
        }
        Ok(kube::Client::try_from(config)?)
    }
}

/// The HTTP status with which the server refused a request; `None` for any other error.
#[must_use]
pub fn refusal(error: &anyhow::Error) -> Option<u16> {
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

/// Where objects of the kind and namespace of `object` are.
///
/// # Errors
///
/// It has no kind.
pub fn api(client: kube::Client, object: &Value) -> Result<Api<DynamicObject>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&object["apiVersion"]);
    let (group, version) = version.rsplit_once('/').unwrap_or(("", &version));
    let kind = text(&object["kind"]);
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    Ok(match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    })
}
