//! `--metrics-bind-address`: the series over HTTP.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use tokio::{net::TcpListener, time::sleep};

use super::Metrics;

/// An address that cannot be had is tried again this often.
const RETRY: Duration = Duration::from_secs(1);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers `GET /metrics` at `address` for ever. Traffic must not depend on it, so an address that cannot be had is said once and
/// tried again.
pub async fn serve(address: SocketAddr, metrics: Metrics) -> Infallible {
    let mut is_told = false;
    loop {
        match listen(address, &metrics).await {
            Ok(()) => is_told = false,
            Err(error) if !is_told => {
                is_told = true;
                tracing::warn!(
                    "no metrics at {address}: {error}; trying again; free the address or set --metrics-bind-address"
                );
            }
            Err(_) => {}
        }
        sleep(RETRY).await;
    }
}

async fn listen(address: SocketAddr, metrics: &Metrics) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!("metrics are at http://{address}/metrics");
    let router = Router::new()
        .route("/metrics", get(answer))
        .with_state(metrics.clone());
    axum::serve(listener, router).await
}

async fn answer(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS)], metrics.encode())
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, Result};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        time::timeout,
    };

    use super::*;
    use crate::model::ObjectKind;

    async fn get(address: SocketAddr, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn get_when_ready(address: SocketAddr, path: &str) -> Result<String> {
        let tries = async {
            loop {
                match get(address, path).await {
                    Ok(answer) if !answer.is_empty() => return answer,
                    _ => sleep(Duration::from_millis(10)).await,
                }
            }
        };
        timeout(Duration::from_secs(30), tries).await.context("no answer")
    }

    /// An address that is free, held until the listener is dropped.
    async fn taken() -> Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    #[tokio::test]
    async fn the_series_are_served_over_http_and_nothing_else_is() -> Result<()> {
        let (listener, address) = taken().await?;
        drop(listener);
        let metrics = Metrics::default();
        let server = tokio::spawn(serve(address, metrics.clone()));
        metrics.watch_error(ObjectKind::Service);
        let answer = get_when_ready(address, "/metrics").await?;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.contains(&format!("content-type: {OPEN_METRICS}")),
            "{answer}"
        );
        assert!(
            answer.contains("kubeportal_watch_errors_total{kind=\"Service\"} 1\n"),
            "{answer}"
        );
        assert!(answer.trim_end().ends_with("# EOF"), "{answer}");
        assert!(get(address, "/").await?.starts_with("HTTP/1.1 404 "));
        server.abort();
        Ok(())
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_tried_again_until_it_is_free() -> Result<()> {
        let (listener, address) = taken().await?;
        let server = tokio::spawn(serve(address, Metrics::default()));
        // The one that has the address never answers; the server cannot have it yet.
        tokio::task::yield_now().await;
        drop(listener);
        let answer = get_when_ready(address, "/metrics").await?;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        server.abort();
        Ok(())
    }
}
