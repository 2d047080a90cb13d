//! What an agent tells Prometheus.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{Agent, READY};
use crate::{netns::NetNs, traffic::Client, wait};

/// The default of `--metrics-bind-address`, which is kube-proxy's too.
pub(crate) const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 10_249);

/// A series as it is written, and its value: `("kubeportal_watch_errors_total{kind=\"Node\"}", 1.0)`.
pub type Series<'s> = (&'s str, f64);

impl Agent {
    /// What `GET /metrics` answers on its node.
    ///
    /// # Errors
    ///
    /// Nobody answers there, or not with 200.
    pub fn metrics(&self) -> Result<String> {
        self.metrics_at(ADDRESS)
    }

    /// As [`metrics`](Self::metrics), with another `--metrics-bind-address`.
    ///
    /// # Errors
    ///
    /// Nobody answers there, or not with 200.
    pub fn metrics_at(&self, address: SocketAddr) -> Result<String> {
        scrape(&self.ns, address)
    }

    /// The value of one series.
    ///
    /// # Errors
    ///
    /// No metrics, or the series is not there.
    pub fn metric(&self, series: &str) -> Result<f64> {
        value(&self.metrics()?, series)
    }

    /// Waits until these series have these values, all at the same time or one after the other.
    ///
    /// # Errors
    ///
    /// Not in time.
    pub fn wait_for_metrics(&self, what: &str, expected: &[Series<'_>]) -> Result<()> {
        expected.iter().try_for_each(|(series, value)| {
            self.wait_for_metric(what, READY, series, |found| (found - value).abs() < f64::EPSILON)
        })
    }

    /// Waits until a series has a value that is good.
    ///
    /// # Errors
    ///
    /// Not within `limit`.
    pub fn wait_for_metric(
        &self,
        what: &str,
        limit: Duration,
        series: &str,
        is_good: impl Fn(f64) -> bool,
    ) -> Result<()> {
        wait::until(what, limit, || {
            let found = self.metric(series)?;
            ensure!(is_good(found), "{series} is {found}");
            Ok(())
        })
    }
}

/// What `GET /metrics` answers in `ns`.
pub(crate) fn scrape(ns: &NetNs, address: SocketAddr) -> Result<String> {
    let mut stream = Client::new(ns).connect(address)?;
    write!(
        stream,
        "GET /metrics HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").context("no HTTP")?;
    let status = head.split(' ').nth(1);
    ensure!(status == Some("200"), "it answers {head}");
    Ok(body.to_owned())
}

/// The value of one series of what a process tells Prometheus.
///
/// # Errors
///
/// There is no such series.
pub fn value(text: &str, series: &str) -> Result<f64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = value.with_context(|| format!("no series {series} in\n{text}"))?;
    Ok(value.parse()?)
}
