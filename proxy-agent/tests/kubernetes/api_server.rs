//! The little of a Kubernetes API server that lists and watches need, over real HTTP on loopback.
//!
//! Every change has a version; a watch replays what came after the version that it names, so tests need not wait for a watch to be
//! open before they change something.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use anyhow::Result;
use futures::{Stream, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub(crate) const SERVICES: &str = "/api/v1/services";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub(crate) const NODES: &str = "/api/v1/nodes";
pub(crate) const SERVICE_CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";

#[derive(Default)]
struct State {
    version: u64,
    /// How often every open watch was cut.
    cuts: u64,
    objects: BTreeMap<(String, String), Value>,
    /// Version, path and event.
    log: Vec<(u64, String, Value)>,
    requests: Vec<String>,
    /// Paths that have nothing to list, with the HTTP status and document that they are answered with.
    answers: BTreeMap<String, (u16, Value)>,
}

pub(crate) struct ApiServer {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
    pub(crate) url: String,
    task: JoinHandle<()>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ApiServer {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(State::default()));
        let (changed, changes) = watch::channel(());
        let task = tokio::spawn(accept(listener, Arc::clone(&state), changes));
        Ok(Self {
            state,
            changed,
            url,
            task,
        })
    }

    /// Creates or updates an object.
    pub(crate) fn apply(&self, path: &str, object: Value) {
        self.change(|state| {
            let object = state.stamp(object);
            state.log.push((
                state.version,
                path.to_owned(),
                json!({"type": "MODIFIED", "object": object}),
            ));
            state.objects.insert((path.to_owned(), name(&object)), object);
        });
    }

    pub(crate) fn delete(&self, path: &str, name: &str) {
        self.change(|state| {
            let object = state
                .objects
                .remove(&(path.to_owned(), name.to_owned()))
                .expect("it exists");
            let object = state.stamp(object);
            state.log.push((
                state.version,
                path.to_owned(),
                json!({"type": "DELETED", "object": object}),
            ));
        });
    }

    /// Deletes an object, but no watch hears of it.
    pub(crate) fn delete_unseen(&self, path: &str, name: &str) {
        let gone = self.state().objects.remove(&(path.to_owned(), name.to_owned()));
        assert!(gone.is_some(), "{name} exists");
    }

    /// Tells the watches of `path` that their version is too old: 410 Gone.
    pub(crate) fn expire(&self, path: &str) {
        let status = json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410,
        });
        self.change(|state| {
            state.version += 1;
            state.log.push((
                state.version,
                path.to_owned(),
                json!({"type": "ERROR", "object": status}),
            ));
        });
    }

    /// Breaks the connections of all open watches in the middle of their answer.
    pub(crate) fn cut_connections(&self) {
        self.change(|state| state.cuts += 1);
    }

    /// From now on, requests for `path` are answered with this HTTP status.
    pub(crate) fn refuse(&self, path: &str, status: u16) {
        let document = json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "message": "no", "code": status,
        });
        self.state().answers.insert(path.to_owned(), (status, document));
    }

    /// From now on, requests for `path` are answered with this document.
    pub(crate) fn answer(&self, path: &str, document: Value) {
        self.state().answers.insert(path.to_owned(), (200, document));
    }

    /// What was asked so far: path and query.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn stamp(&mut self, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object
    }

    fn list(&self, path: &str) -> Value {
        let items = self
            .objects
            .iter()
            .filter(|((at, _), _)| at == path)
            .map(|(_, object)| object);
        json!({
            "apiVersion": "v1", "kind": "List",
            "metadata": {"resourceVersion": self.version.to_string()},
            "items": items.collect::<Vec<_>>(),
        })
    }

    /// The first event after a version.
    fn after(&self, version: u64, path: &str) -> Option<(u64, String)> {
        let event = self.log.iter().find(|(at, of, _)| *at > version && of == path)?;
        // In the order of real API servers: the type tells how to read the object.
        let (kind, object) = (&event.2["type"], &event.2["object"]);
        Some((event.0, format!("{{\"type\":{kind},\"object\":{object}}}\n")))
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no test panics while it holds the lock")
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().expect("a name").to_owned()
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>, changes: watch::Receiver<()>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&state), changes.clone()));
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, changes: watch::Receiver<()>) {
    let answer = service_fn(|request| {
        let response = respond(&request, &state, &changes);
        async { Ok::<_, Infallible>(response) }
    });
    // A connection that the client or `cut_connections` ends is no fault.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

fn respond(
    request: &Request<Incoming>,
    state: &Arc<Mutex<State>>,
    changes: &watch::Receiver<()>,
) -> Response<UnsyncBoxBody<Bytes, io::Error>> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default();
    lock(state).requests.push(format!("{path}?{query}"));
    if let Some((code, document)) = lock(state).answers.get(&path) {
        let body = Full::from(document.to_string()).map_err(|never| match never {});
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = (*code).try_into().expect("an HTTP status");
        return response;
    }
    if !query.split('&').any(|pair| pair == "watch=true") {
        let list = lock(state).list(&path).to_string();
        return Response::new(Full::from(list).map_err(|never| match never {}).boxed_unsync());
    }
    let version = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("resourceVersion="));
    let version = version.and_then(|text| text.parse().ok()).unwrap_or_default();
    let events = events(Arc::clone(state), changes.clone(), path, version);
    Response::new(StreamBody::new(events).boxed_unsync())
}

fn events(
    state: Arc<Mutex<State>>,
    changes: watch::Receiver<()>,
    path: String,
    version: u64,
) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    let cuts = lock(&state).cuts;
    stream::unfold((changes, version), move |(mut changes, version)| {
        let (state, path) = (Arc::clone(&state), path.clone());
        async move {
            loop {
                changes.mark_unchanged();
                if lock(&state).cuts != cuts {
                    let cut = Err(io::Error::from(io::ErrorKind::ConnectionReset));
                    return Some((cut, (changes, version)));
                }
                let next = lock(&state).after(version, &path);
                if let Some((version, line)) = next {
                    return Some((Ok(Frame::data(Bytes::from(line))), (changes, version)));
                }
                changes.changed().await.ok()?;
            }
        }
    })
}
