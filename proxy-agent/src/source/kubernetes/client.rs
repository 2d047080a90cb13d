//! How the API server is reached.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::Uri;
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioIo},
};
use kube::{
    Config,
    client::{ClientBuilder, ConfigExt as _},
    config::{KubeConfigOptions, Kubeconfig},
};
use thiserror::Error;
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceBuilder};

use super::direct::Servers;

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

/// A connection to the API server.
#[derive(Clone)]
pub struct Client {
    pub(super) kube: kube::Client,
    /// Where it goes instead of the API server's own Service.
    pub(super) servers: Option<Servers>,
}

/// A server that says nothing for so long is asked whether it is still there, and given up if it does not answer: a server that
/// was switched off closes no connection.
const SILENCE: Duration = Duration::from_secs(15);
const SILENT_PROBES: u32 = 3;
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client by kube-proxy's rules: the kubeconfig if there is one, else the pod's service account; `master` replaces the server's
/// URL of the kubeconfig, and without one it is reached without credentials.
///
/// `behind` tells the endpoints of a Service's address, as far as this node has served it before: if the server is named by such an
/// address, it is reached by an endpoint.
///
/// # Errors
/// If what the flags name cannot be used. Whether the server answers is not tried.
pub async fn client(
    kubeconfig: Option<&Path>,
    master: Option<&str>,
    behind: impl Fn(SocketAddr) -> Vec<SocketAddr>,
) -> Result<Client, ClientError> {
    let master = master.filter(|url| !url.is_empty());
    let in_cluster = kubeconfig.is_none() && master.is_none();
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
    let servers = around_service(&mut config, in_cluster, behind);
    let kube = connect(config, servers.clone()).map_err(|error| ClientError::Client {
        source: Box::new(error),
    })?;
    Ok(Client { kube, servers })
}

/// The endpoints to use if the configuration names the API server by its Service's address.
///
/// The URL then gets a name, because addresses are not looked up; certificates are checked for what it was before.
fn around_service(
    config: &mut Config,
    in_cluster: bool,
    behind: impl Fn(SocketAddr) -> Vec<SocketAddr>,
) -> Option<Servers> {
    let host = config.cluster_url.host()?.trim_matches(['[', ']']).to_owned();
    let is_https = config.cluster_url.scheme_str() == Some("https");
    let port = config
        .cluster_url
        .port_u16()
        .unwrap_or(if is_https { 443 } else { 80 });
    let service = SocketAddr::new(host.parse().ok()?, port);
    let mut servers = behind(service);
    if servers.is_empty() && !in_cluster {
        return None;
    }
    tracing::info!(%service, ?servers, "the API server is reached by its endpoints, not by its Service");
    // Nothing else is known on a node that has never served it: perhaps somebody else does.
    servers.push(service);
    let scheme = config.cluster_url.scheme_str().unwrap_or("https");
    config.cluster_url = format!("{scheme}://kubernetes.default.svc/").parse().ok()?;
    config.tls_server_name.get_or_insert(host);
    Some(Servers::new(servers))
}

fn connect(config: Config, servers: Option<Servers>) -> Result<kube::Client, kube::Error> {
    match servers {
        Some(servers) => stack(&config, HttpConnector::new_with_resolver(servers)),
        None => stack(&config, HttpConnector::new()),
    }
}

/// What `kube::Client::try_from` does, with a connector of ours.
fn stack<R>(config: &Config, mut connector: HttpConnector<R>) -> Result<kube::Client, kube::Error>
where
    R: Service<Name> + Clone + Send + Sync + 'static,
    R::Response: Iterator<Item = SocketAddr>,
    R::Error: Into<BoxError>,
    R::Future: Send,
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>, Future: Send, Error: Into<BoxError>>,
{
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(SILENCE));
    connector.set_keepalive_interval(Some(PROBE_INTERVAL));
    connector.set_keepalive_retries(Some(SILENT_PROBES));
    // No probes are sent while a request waits for its acknowledgement: it would be sent again for a quarter of an hour.
    connector.set_tcp_user_timeout(Some(SILENCE + PROBE_INTERVAL * SILENT_PROBES));
    let https = config.rustls_https_connector_with_connector(connector)?;
    let http = legacy::Client::builder(TokioExecutor::new()).build(https);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
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
        let client = client(kubeconfig.map(Path::new), master, |_| Vec::new()).await;
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
        client(Some(file.path()), None, |_| Vec::new()).await?;
        client(Some(file.path()), Some("https://192.0.2.2:6443"), |_| Vec::new()).await?;
        let message = error(file.path().to_str(), Some("nowhere")).await;
        assert!(message.starts_with("--master nowhere: "), "{message}");
        Ok(())
    }
}
