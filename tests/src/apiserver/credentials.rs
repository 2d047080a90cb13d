//! A certificate, tokens and kubeconfigs for one API server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::access::AGENT_USER;

/// Files that the API server and its clients read.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    /// Self-signed; clients trust it and nothing else.
    pub(super) certificate: PathBuf,
    /// Its key, which signs service account tokens too.
    pub(super) key: PathBuf,
    /// Who has which token.
    pub(super) tokens: PathBuf,
    directory: PathBuf,
}

/// Who sends requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    /// May do everything.
    Admin,
    /// May do what the agent may.
    Agent,
}

impl User {
    const fn token(self) -> &'static str {
        match self {
            Self::Admin => "token-of-the-admin",
            Self::Agent => "token-of-the-agent",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Admin => "admin.kubeconfig",
            Self::Agent => "agent.kubeconfig",
        }
    }
}

impl Credentials {
    /// Writes them to `directory`, with a certificate for `addresses`.
    pub(super) fn write(directory: &Path, addresses: &[&str]) -> Result<Self> {
        let names: Vec<String> = addresses.iter().map(|&address| address.to_owned()).collect();
        let certified = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
        let credentials = Self {
            certificate: directory.join("apiserver.crt"),
            key: directory.join("apiserver.key"),
            tokens: directory.join("tokens.csv"),
            directory: directory.to_owned(),
        };
        fs::write(&credentials.certificate, certified.cert.pem())?;
        fs::write(&credentials.key, certified.signing_key.serialize_pem())?;
        let (admin, agent) = (User::Admin.token(), User::Agent.token());
        let tokens =
            format!("{admin},admin,1,system:masters\n{agent},{AGENT_USER},2,system:serviceaccounts\n");
        fs::write(&credentials.tokens, tokens)?;
        Ok(credentials)
    }

    /// The kubeconfig of `user` for the API server at `url`.
    pub(super) fn kubeconfig(&self, user: User, url: &str) -> Result<PathBuf> {
        let path = self.directory.join(user.file());
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": url, "certificate-authority": self.certificate}}],
            "users": [{"name": "me", "user": {"token": user.token()}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        });
        fs::write(&path, config.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}
