//! How the API server is reached.

use std::path::{Path, PathBuf};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use thiserror::Error;

/// Why there is no way to the API server.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The file of `--kubeconfig` cannot be used.
    #[error("--kubeconfig {}: {source}; correct the file or the flag", path.display())]
    Kubeconfig {
        /// The flag's value.
        path: PathBuf,
        /// What is wrong.
        source: Box<kube::config::KubeconfigError>,
    },
    /// The value of `--master` is no address.
    #[error("--master {value}: not a URL; write one such as https://192.168.0.1:6443")]
    Master {
        /// The flag's value.
        value: String,
    },
    /// There are no flags, and this is not a pod with a service account.
    #[error(
        "no API server: {source}; run in a pod with a service account, or use --kubeconfig, --master or --manifests"
    )]
    InCluster {
        /// What is missing.
        source: Box<kube::config::InClusterError>,
    },
    /// The credentials or certificates cannot be used.
    #[error(
        "cannot make a client of the API server: {source}; correct the credentials in the kubeconfig or service account"
    )]
    Client {
        /// What is wrong.
        source: Box<kube::Error>,
    },
}

/// A client by kube-proxy's rules: the kubeconfig if there is one, else the pod's service account; `master` replaces the server's
/// URL of the kubeconfig, and without one it is reached without credentials.
///
/// # Errors
/// If what the flags name cannot be used. Whether the server answers is not tried.
pub async fn client(kubeconfig: Option<&Path>, master: Option<&str>) -> Result<Client, ClientError> {
    let master = master.filter(|url| !url.is_empty());
    let mut config = match (kubeconfig, master) {
        (Some(path), _) => from_file(path).await?,
        (None, Some(url)) => Config::new(parse_master(url)?),
        (None, None) => Config::incluster().map_err(|error| ClientError::InCluster {
            source: Box::new(error),
        })?,
    };
    if let Some(url) = master {
        config.cluster_url = parse_master(url)?;
    }
    Client::try_from(config).map_err(|error| ClientError::Client {
        source: Box::new(error),
    })
}

async fn from_file(path: &Path) -> Result<Config, ClientError> {
    let error = |source| ClientError::Kubeconfig {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(error)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(error)
}

fn parse_master<Url: std::str::FromStr>(url: &str) -> Result<Url, ClientError> {
    let error = || ClientError::Master {
        value: url.to_owned(),
    };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(error());
    }
    url.parse().map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn error(kubeconfig: Option<&str>, master: Option<&str>) -> String {
        let client = client(kubeconfig.map(Path::new), master).await;
        client
            .map(|_| "a client")
            .expect_err("it cannot be used")
            .to_string()
    }

    #[tokio::test]
    async fn errors_name_the_flag_and_the_remedy() {
        let message = error(Some("/nowhere/config"), None).await;
        assert!(message.starts_with("--kubeconfig /nowhere/config: "), "{message}");
        assert!(message.ends_with("; correct the file or the flag"), "{message}");
        for master in ["192.168.0.1:6443", "https://", "ftp://server"] {
            let expected =
                format!("--master {master}: not a URL; write one such as https://192.168.0.1:6443");
            assert_eq!(error(None, Some(master)).await, expected);
        }
    }

    #[tokio::test]
    async fn a_kubeconfig_with_a_token_is_used_and_its_server_may_be_replaced() -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {
                "server": "https://192.0.2.1:6443", "insecure-skip-tls-verify": true,
            }}],
            "users": [{"name": "proxy", "user": {"token": "secret"}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "proxy"}}],
        });
        std::fs::write(file.path(), kubeconfig.to_string())?;
        client(Some(file.path()), None).await?;
        client(Some(file.path()), Some("https://192.0.2.2:6443")).await?;
        let message = error(file.path().to_str(), Some("nowhere")).await;
        assert!(message.starts_with("--master nowhere: "), "{message}");
        Ok(())
    }
}
