//! Requests in, answers out: the tower service beneath `kube::Client`.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use kube::core::Status;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::BoxError;

use super::answer::{self, Answer, Form};
use super::fault::Outcome;
use super::json::{set, text};
use super::log::{ApiRequest, Verb};
use super::patch::{Patch, PatchType};
use super::resource::ResourceType;
use super::route::{self, Address, Query};
use super::selector::Filter;
use super::store::{ObjectKey, Store};
use super::token::{self, Issuer};
use super::watch::Watch;
use super::write::{Configuration, DeleteOptions, Deletion, Part, WriteOptions};
use super::{Shared, State};

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// One client's way to the server.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    client: Arc<str>,
}

impl Connection {
    pub(crate) fn new(shared: Arc<Shared>, client: &str) -> Self {
        Self {
            shared,
            client: client.into(),
        }
    }
}

impl tower::Service<Request<Body>> for Connection {
    type Response = Reply;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Reply, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = self.clone();
        async move { connection.exchange(request).await }.boxed()
    }
}

/// A request that was read and understood as far as the log needs.
struct Call {
    verb: Option<Verb>,
    address: Address,
    query: Query,
    path: String,
    content_type: String,
    form: Form,
    body: Answer<Arc<Value>>,
}

/// What a served call comes to.
enum Served {
    /// With the answer's body.
    Text(StatusCode, String),
    Watch(Box<Watch>),
}

impl Connection {
    /// Logs the request, lets it meet its fault, and serves it.
    async fn exchange(self, request: Request<Body>) -> Result<Reply, BoxError> {
        let call = Call::read(request).await?;
        let (number, effect) = {
            let mut state = self.shared.lock();
            let logged = call.logged(&self.client);
            let effect = state.faults.meet(&logged);
            (state.log.add(logged), effect)
        };
        self.shared.tell_activity();
        let Some(effect) = effect else {
            return Ok(self.serve(&call, number));
        };
        tokio::time::sleep(effect.delay).await;
        let served = matches!(effect.outcome, Outcome::Answer) || effect.served;
        let reply = served.then(|| self.serve(&call, number));
        match effect.outcome {
            Outcome::Answer => reply.ok_or_else(|| broken_connection().into()),
            Outcome::Status(status) => {
                self.answered(number, Some(status.code));
                Ok(failed(&status))
            }
            Outcome::ConnectionError => {
                self.answered(number, None);
                Err(broken_connection().into())
            }
            Outcome::Hang => {
                self.answered(number, None);
                std::future::pending().await
            }
        }
    }

    fn answered(&self, number: usize, status: Option<u16>) {
        self.shared.lock().log.answer(number, status);
        self.shared.tell_activity();
    }

    fn serve(&self, call: &Call, number: usize) -> Reply {
        let mut state = self.shared.lock();
        let before = state.store.revision();
        let served = call.serve(&mut state);
        let endings = state.endings;
        let changed = state.store.revision() != before;
        let status = match &served {
            Ok(Served::Text(status, _)) => status.as_u16(),
            Ok(Served::Watch(_)) => 200,
            Err(status) => status.code,
        };
        state.log.answer(number, Some(status));
        if changed {
            state.log.changed(number);
        }
        drop(state);
        if changed {
            self.shared.tell_written();
        } else {
            self.shared.tell_activity();
        }
        match served {
            Ok(Served::Text(status, body)) => reply(status, body),
            Ok(Served::Watch(watch)) => {
                let lines = watch.stream(Arc::clone(&self.shared), endings);
                let frames = lines.map(|line| Ok::<_, Infallible>(Frame::data(line)));
                let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
                json_content(response.headers_mut());
                response
            }
            Err(status) => failed(&status),
        }
    }
}

fn broken_connection() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer")
}

fn json_content(headers: &mut HeaderMap) {
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
}

fn reply(status: StatusCode, body: String) -> Reply {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
    *response.status_mut() = status;
    json_content(response.headers_mut());
    response
}

fn failed(status: &Status) -> Reply {
    let mut body = json!(status);
    set(&mut body, "kind", json!("Status"));
    set(&mut body, "apiVersion", json!("v1"));
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = reply(code, body.to_string());
    let retry_after = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry_after > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
    }
    response
}

impl Call {
    async fn read(request: Request<Body>) -> Result<Self, BoxError> {
        let (head, body) = request.into_parts();
        let header = |name| {
            head.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let content_type = header(header::CONTENT_TYPE).to_owned();
        let query = Query::parse(&head.uri);
        let address = Address::parse(head.uri.path()).unwrap_or_default();
        let bytes = body.collect_bytes().await?;
        let body = if bytes.is_empty() {
            Ok(Arc::default())
        } else {
            let read = serde_json::from_slice(&bytes).map(Arc::new);
            read.map_err(|error| answer::bad_request(&error.to_string()))
        };
        Ok(Self {
            verb: route::verb(&head.method, &address, &query, &content_type),
            form: Form::accepted(header(header::ACCEPT)),
            path: head.uri.path().to_owned(),
            address,
            query,
            content_type,
            body,
        })
    }

    fn logged(&self, client: &str) -> ApiRequest {
        let body = self.body.as_ref().cloned().unwrap_or_default();
        // A name in the body counts when the path has none; one that the server makes up does not.
        let named = text(&body, "name").filter(|_| self.verb == Some(Verb::Create));
        let name = if self.address.name.is_empty() {
            named.unwrap_or_default()
        } else {
            &self.address.name
        };
        ApiRequest {
            client: client.to_owned(),
            at: Instant::now(),
            verb: self.verb.unwrap_or(Verb::Get),
            path: self.path.clone(),
            group: self.address.group.clone(),
            resource: self.address.plural.clone(),
            subresource: self.address.subresource.clone(),
            namespace: self.address.namespace.clone(),
            name: name.to_owned(),
            field_manager: self.query.get("fieldManager").unwrap_or_default().to_owned(),
            force: self.query.is_true("force"),
            dry_run: self.dry_run(),
            body,
            status: None,
            changed: false,
        }
    }

    fn dry_run(&self) -> bool {
        let in_body = self.body.as_ref().is_ok_and(|body| body["dryRun"] == json!(["All"]));
        self.query.get("dryRun") == Some("All") || in_body
    }

    fn serve(&self, state: &mut State) -> Answer<Served> {
        if self.address.plural.is_empty() {
            return self.serve_path(state);
        }
        let Address {
            group,
            version,
            plural,
            namespace,
            subresource,
            ..
        } = &self.address;
        let Some(resource) = state.store.by_path(group, version, plural) else {
            return Err(answer::path_not_found());
        };
        if (plural.as_str(), subresource.as_str()) == ("serviceaccounts", "token") {
            return self.token(state, &resource);
        }
        let part = match subresource.as_str() {
            "" => Part::Main,
            "status" if resource.status => Part::Status,
            _ => return Err(answer::path_not_found()),
        };
        let Some(verb) = self.verb else {
            return Err(answer::failure(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the resource",
            ));
        };
        let one = !self.address.name.is_empty() || verb == Verb::Create;
        if !resource.namespaced && !namespace.is_empty() || resource.namespaced && namespace.is_empty() && one {
            return Err(answer::path_not_found());
        }
        match verb {
            Verb::Get => self.get(&state.store, &resource),
            Verb::List => self.list(&mut state.store, &resource),
            Verb::Watch => {
                let filter = self.filter(&resource)?;
                let watch = Watch::open(&state.store, &resource, filter, self.form, &self.query)?;
                Ok(Served::Watch(Box::new(watch)))
            }
            Verb::Create | Verb::Update | Verb::Patch | Verb::Apply => {
                self.write(&mut state.store, &resource, verb, part)
            }
            Verb::Delete => self.delete(&mut state.store, &resource),
            Verb::DeleteCollection => self.delete_collection(&mut state.store, &resource),
        }
    }

    fn token(&self, state: &State, resource: &ResourceType) -> Answer<Served> {
        if self.verb != Some(Verb::Create) {
            return Err(answer::path_not_found());
        }
        let body = self.body.clone()?;
        let issuer = Issuer {
            url: state
                .discovery
                .get("issuer")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            sign: state.signer.as_ref(),
        };
        let answer = token::request(&state.store, resource, &self.key(), &body, &issuer)?;
        Ok(Served::Text(StatusCode::CREATED, answer.to_string()))
    }

    fn serve_path(&self, state: &State) -> Answer<Served> {
        let body = match self.path.as_str() {
            "/.well-known/openid-configuration" => state.discovery.clone(),
            "/version" => json!({
                "major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "", "gitTreeState": "clean",
                "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.26", "compiler": "gc", "platform": "linux/amd64",
            }),
            "/livez" | "/readyz" | "/healthz" => json!("ok"),
            _ => return Err(answer::path_not_found()),
        };
        Ok(Served::Text(StatusCode::OK, body.to_string()))
    }

    fn key(&self) -> ObjectKey {
        (self.address.namespace.clone(), self.address.name.clone())
    }

    fn filter(&self, resource: &ResourceType) -> Answer<Filter> {
        let namespace = Some(self.address.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        Filter::parse(
            resource,
            namespace,
            self.query.get("labelSelector"),
            self.query.get("fieldSelector"),
        )
    }

    fn get(&self, store: &Store, resource: &ResourceType) -> Answer<Served> {
        let object = store.get(resource, &self.key());
        let object = object.ok_or_else(|| answer::not_found(resource, &self.address.name))?;
        Ok(Served::Text(StatusCode::OK, self.form.object(&object)))
    }

    /// Lists in pages when a limit is asked for; further pages show the state of the first.
    fn list(&self, store: &mut Store, resource: &Arc<ResourceType>) -> Answer<Served> {
        let expired =
            || answer::expired("The provided continue parameter is too old to display a consistent list result.");
        let position = self.query.get("continue").map(|token| {
            let (list, start) = token.split_once('.')?;
            Some((list.parse::<u64>().ok()?, start.parse::<usize>().ok()?))
        });
        let (list, revision, objects, start) = match position {
            None => {
                let filter = self.filter(resource)?;
                let objects = store
                    .objects(resource)
                    .map(|(_, object)| object)
                    .filter(|object| filter.matches(object));
                let objects: Arc<[Arc<Value>]> = objects.cloned().collect();
                (None, store.revision(), objects, 0)
            }
            Some(Some((list, start))) => {
                let (revision, objects) = store.opened_list(list).ok_or_else(expired)?;
                (Some(list), revision, objects, start)
            }
            Some(None) => return Err(answer::bad_request("continue key is not valid")),
        };
        // A list from the cache comes whole, whatever the limit.
        let whole = self.query.get("resourceVersion") == Some("0");
        let limit = self
            .query
            .get("limit")
            .and_then(|limit| limit.parse().ok())
            .filter(|limit| *limit > 0 && !whole);
        let end = limit.map_or(objects.len(), |limit: usize| {
            objects.len().min(start.saturating_add(limit))
        });
        let page: Vec<&Value> = objects
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .map(|object| &**object)
            .collect();
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if end < objects.len() {
            let list = list.unwrap_or_else(|| store.open_list(Arc::clone(&objects)));
            set(&mut metadata, "continue", json!(format!("{list}.{end}")));
            set(&mut metadata, "remainingItemCount", json!(objects.len() - end));
        }
        Ok(Served::Text(StatusCode::OK, self.form.list(resource, &metadata, &page)))
    }

    fn write(&self, store: &mut Store, resource: &Arc<ResourceType>, verb: Verb, part: Part) -> Answer<Served> {
        let body = self.body.as_deref().cloned().map_err(Clone::clone)?;
        let options = WriteOptions {
            part,
            manager: self.query.get("fieldManager").unwrap_or("unknown").to_owned(),
            dry_run: self.dry_run(),
            strict: self.query.get("fieldValidation") == Some("Strict"),
        };
        let (key, namespace) = (self.key(), &self.address.namespace);
        let force = self.query.is_true("force");
        let existed = verb == Verb::Create || store.get(resource, &key).is_some();
        let object = match verb {
            Verb::Create => store.create(resource, namespace, &options, body)?,
            Verb::Update => store.replace(resource, &key, &options, body)?,
            _ => match PatchType::parse(&self.content_type)? {
                PatchType::Apply if self.query.get("fieldManager").is_none() => {
                    return Err(answer::failure(
                        422,
                        "Invalid",
                        "fieldManager: Required value: is required for apply patch",
                    ));
                }
                PatchType::Apply => store.apply(resource, &key, &options, Configuration { object: body, force })?,
                _ if force => {
                    return Err(answer::failure(
                        422,
                        "Invalid",
                        "force: Forbidden: may not be specified for non-apply patch",
                    ));
                }
                PatchType::Merge => store.patch(resource, &key, &options, &Patch::Merge(body))?,
                PatchType::Json => store.patch(resource, &key, &options, &Patch::json(body)?)?,
            },
        };
        let created = verb == Verb::Create || !existed;
        let status = if created { StatusCode::CREATED } else { StatusCode::OK };
        Ok(Served::Text(status, self.form.object(&object)))
    }

    fn delete(&self, store: &mut Store, resource: &Arc<ResourceType>) -> Answer<Served> {
        let body = self.body.clone()?;
        let precondition = |name: &str| {
            let value = body
                .get("preconditions")
                .and_then(|preconditions| preconditions.get(name));
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let options = DeleteOptions {
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            dry_run: self.dry_run(),
        };
        let answer = match store.delete(resource, &self.key(), &options)? {
            // Service accounts and pods come back as they were; most resources answer with a status.
            Deletion::Done(last) if resource.group.is_empty() => last.to_string(),
            Deletion::Done(last) => answer::deleted(resource, &last).to_string(),
            Deletion::Waits(object) => object.to_string(),
        };
        Ok(Served::Text(StatusCode::OK, answer))
    }

    fn delete_collection(&self, store: &mut Store, resource: &Arc<ResourceType>) -> Answer<Served> {
        let filter = self.filter(resource)?;
        let selected = store.objects(resource).filter(|(_, object)| filter.matches(object));
        let keys: Vec<ObjectKey> = selected.map(|(key, _)| key.clone()).collect();
        let options = DeleteOptions {
            dry_run: self.dry_run(),
            ..DeleteOptions::default()
        };
        for key in keys {
            store.delete(resource, &key, &options)?;
        }
        let answer = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
        Ok(Served::Text(StatusCode::OK, answer.to_string()))
    }
}
