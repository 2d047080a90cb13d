//! kube-apiserver over an etcd of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use proxy_agent::model::Family;
use serde_json::json;

use super::{
    Binaries, Client, access,
    credentials::{Credentials, User},
    etcd::{self, Etcd},
};
use crate::{netns::NetNs, process::Process, topology::Host};

/// The ClusterIP of the Service `default/kubernetes`, which leads to the API server.
pub const SERVICE_IP: &str = "10.96.0.1";

const SERVICE_RANGES: &str = "10.96.0.0/16,fd00:10:96::/112";

/// How long it may take to answer; it is some seconds when nothing else runs.
const READY: Duration = Duration::from_secs(60);

/// Both processes. They are killed on drop.
#[derive(Debug)]
pub struct ApiServer {
    binary: PathBuf,
    directory: PathBuf,
    ns: Arc<NetNs>,
    address: String,
    credentials: Credentials,
    admin: Client,
    agent_kubeconfig: PathBuf,
    // Dropped before what it writes to.
    process: Mutex<Option<Process>>,
    etcd: Etcd,
}

impl ApiServer {
    /// Starts both on `node`, with their files below `directory`, and lets the agent in; ready on return.
    ///
    /// # Errors
    ///
    /// One of them ends or does not answer in time.
    pub fn start(binaries: &Binaries, node: &Host, directory: &Path) -> Result<Self> {
        let directory = directory.join("apiserver");
        fs::create_dir(&directory)?;
        let address = node.ip(Family::V4).to_string();
        let credentials = Credentials::write(&directory, &[&address, SERVICE_IP])?;
        let url = format!("https://{address}:6443");
        let server = Self {
            binary: binaries.apiserver.clone(),
            ns: Arc::clone(&node.ns),
            address,
            admin: Client::new(Arc::clone(&node.ns), credentials.kubeconfig(User::Admin, &url)?),
            agent_kubeconfig: credentials.kubeconfig(User::Agent, &url)?,
            credentials,
            process: Mutex::new(None),
            etcd: Etcd::start(&binaries.etcd, &node.ns, &directory)?,
            directory,
        };
        server.run()?;
        access::allow_agent(&server.admin)?;
        Ok(server)
    }

    /// Starts kube-apiserver again after [`kill`](Self::kill), on the same data; ready on return.
    ///
    /// # Errors
    ///
    /// It runs, or does not answer in time.
    pub fn run(&self) -> Result<()> {
        let mut running = self.process();
        ensure!(running.is_none(), "kube-apiserver runs already");
        let mut command = self.ns.command(&self.binary);
        command.args(self.flags());
        let process = Process::start("kube-apiserver", &mut command, &self.directory)?;
        let process = running.insert(process);
        let kubernetes = |version, kind| json!({"apiVersion": version, "kind": kind, "metadata": {"namespace": "default", "name": "kubernetes"}});
        let awaited = [
            kubernetes("v1", "Service"),
            kubernetes("discovery.k8s.io/v1", "EndpointSlice"),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "view"}}),
        ];
        process.wait_until(READY, || {
            awaited
                .iter()
                .try_for_each(|object| self.admin.get(object).map(drop))
        })
    }

    /// Kills kube-apiserver with SIGKILL; etcd goes on.
    ///
    /// # Errors
    ///
    /// It does not run, or has ended by itself.
    pub fn kill(&self) -> Result<()> {
        let mut process = self.process().take().context("kube-apiserver does not run")?;
        process.alive()
    }

    /// A client that may do everything.
    #[must_use]
    pub const fn admin(&self) -> &Client {
        &self.admin
    }

    /// The kubeconfig of the agent's user.
    #[must_use]
    pub fn agent_kubeconfig(&self) -> &Path {
        &self.agent_kubeconfig
    }

    /// Makes etcd forget what was before `resource_version`.
    ///
    /// # Errors
    ///
    /// There is no such version yet, or it is forgotten itself.
    pub fn compact(&self, resource_version: &str) -> Result<()> {
        self.etcd.compact(resource_version)
    }

    fn flags(&self) -> Vec<String> {
        let Credentials {
            certificate,
            key,
            tokens,
            ..
        } = &self.credentials;
        [
            ("etcd-servers", etcd::URL.to_owned()),
            ("bind-address", self.address.clone()),
            ("advertise-address", self.address.clone()),
            ("secure-port", "6443".to_owned()),
            ("cert-dir", self.directory.display().to_string()),
            ("tls-cert-file", certificate.display().to_string()),
            ("tls-private-key-file", key.display().to_string()),
            ("token-auth-file", tokens.display().to_string()),
            ("authorization-mode", "RBAC".to_owned()),
            (
                "service-account-issuer",
                "https://kubernetes.default.svc".to_owned(),
            ),
            ("service-account-key-file", certificate.display().to_string()),
            ("service-account-signing-key-file", key.display().to_string()),
            // Objects that older API servers have stored have addresses that a new one refuses, such as 10.0.0.011.
            ("feature-gates", "StrictIPCIDRValidation=false".to_owned()),
            ("service-cluster-ip-range", SERVICE_RANGES.to_owned()),
        ]
        .map(|(flag, value)| format!("--{flag}={value}"))
        .to_vec()
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
