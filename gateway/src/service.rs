//! One request, from the connection to the answer.
//!
//! ```text
//! health? preflight? -> watch the body -> entrance -+-> s3s: signature 4 -+-> access: guards -> body -> operation -> finish
//!                                        +-> signature 2 ------+
//!                                        +-> form -------------+
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_core::Clock;
use cairn_metadata::{Client, authorship};
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, StatusCode, Version, header, request};
use s3s::auth::S3Auth;
use s3s::service::S3Service;
use s3s::{Body, HttpResponse, S3Error, S3Result, s3_error};

use crate::access::Caller;
use crate::answer::{self, Asked};
use crate::auth::{AccessKeys, Authenticator};
use crate::body::{BodyWatch, WatchedBody};
use crate::bucket::REGION_WITHOUT_NAME;
use crate::cors;
use crate::entrance::{self, Signed};
use crate::form;
use crate::host::Hosts;
use crate::request_id::RequestIds;
use crate::signature_v2::Carried;
use crate::traffic::{self, Answered, Traffic};

/// How long a body may stand still.
const BODY_IDLE_MAX: Duration = Duration::from_secs(60);

/// How long the question whether the server is ready may take.
const READY_PATIENCE: Duration = Duration::from_secs(2);

/// Answers requests.
#[derive(Debug)]
pub struct Service {
    /// What verifies signatures of version 4 and dispatches.
    pub s3: S3Service,
    /// What dispatches requests whose caller is known.
    pub verified: S3Service,
    /// The keys of signatures that are verified here.
    pub keys: Arc<AccessKeys>,
    /// Whether signatures of version 2 are accepted.
    pub version_2: bool,
    /// The region that signatures must name, if they must.
    pub region: Option<String>,
    /// Names requests.
    pub ids: RequestIds,
    /// Says whether metadata can be read.
    pub client: Client,
    /// Times requests.
    pub clock: Arc<dyn Clock>,
    /// Which hosts name buckets.
    pub hosts: Hosts,
    /// Counts requests.
    pub traffic: Traffic,
}

/// A body as requests bring it.
pub trait RequestBody:
    http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static
{
}

impl<B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static> RequestBody
    for B
{
}

/// What stays of a request when it has gone into s3s.
struct Remembered {
    method: Method,
    path: String,
}

/// The length of an answer's body, as it says itself.
fn declared_bytes(answer: &HttpResponse) -> u64 {
    let said = answer.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    said.unwrap_or_else(|| http_body::Body::size_hint(answer.body()).lower())
}

/// Has a request answered by s3s, whatever comes of it.
pub async fn call(s3: &S3Service, request: Request<Body>) -> HttpResponse {
    match s3.call(request).await {
        Ok(answer) => answer,
        Err(error) => match error.into_std_error().downcast::<S3Error>() {
            Ok(error) => answer::of_error(*error),
            Err(error) => {
                tracing::error!(%error, "a request could not be answered");
                answer::of_error(s3_error!(InternalError))
            }
        },
    }
}

/// A short answer for people and probes.
fn in_words(status: StatusCode, text: String) -> HttpResponse {
    let mut answer = HttpResponse::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

impl Service {
    /// Answers one request, from a connection or from a simulation. Whatever happens, there is an answer.
    pub fn answer<B: RequestBody>(&self, request: Request<B>) -> BoxFuture<'_, HttpResponse> {
        let (mut parts, incoming) = request.into_parts();
        let watch = Arc::new(BodyWatch::default());
        parts.extensions.insert(Arc::clone(&watch));
        let body = if incoming.is_end_stream() {
            watch.end();
            // s3s sees that there is nothing to read; the watch judges an empty body all the same.
            Body::http_body_unsync(WatchedBody::new(http_body_util::Empty::new(), Arc::clone(&watch), BODY_IDLE_MAX))
        } else {
            Body::http_body_unsync(WatchedBody::new(incoming, Arc::clone(&watch), BODY_IDLE_MAX))
        };
        // From here on nothing depends on where the body comes from, so it is compiled once and not for each caller.
        self.answer_boxed(Request::from_parts(parts, body), watch)
    }

    fn answer_boxed(&self, request: Request<Body>, watch: Arc<BodyWatch>) -> BoxFuture<'_, HttpResponse> {
        Box::pin(authorship::of_request(self.answer_watched(request, watch)))
    }

    async fn answer_watched(&self, request: Request<Body>, watch: Arc<BodyWatch>) -> HttpResponse {
        let (id, begun) = (self.ids.next(), self.clock.elapsed());
        let _under_way = self.traffic.begin();
        let remembered = Remembered { method: request.method().clone(), path: request.uri().path().to_owned() };
        let keeps_connections = request.version() < Version::HTTP_2;
        let page = cors::Asked::of(self, request.method(), request.uri(), request.headers());
        let mut answered = match self.health(&request).await {
            Some(answer) => {
                watch.belongs_to(traffic::HEALTH);
                answer
            }
            None if *request.method() == Method::OPTIONS => {
                watch.belongs_to(traffic::PREFLIGHT);
                cors::preflight(self, request.uri(), request.headers()).await.unwrap_or_else(answer::of_error)
            }
            None => self.s3(request, &watch).await,
        };
        if let Some(page) = page.filter(|_| remembered.method != Method::OPTIONS) {
            cors::annotate(self, &page, &mut answered).await;
        }
        let region = self.region.as_deref().unwrap_or(REGION_WITHOUT_NAME);
        let asked = Asked { method: &remembered.method, path: &remembered.path, region, id };
        let mut answered = answer::finish(answered, asked);
        if keeps_connections && !watch.has_ended() {
            // The rest of the body stands before the next request. A client that is not told would send that into a
            // connection that is being closed.
            answered.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let took = self.clock.elapsed().since(begun);
        self.traffic.answered(Answered {
            operation: watch.operation(),
            status: answered.status().as_u16(),
            took,
            received_bytes: watch.received_bytes(),
            sent_bytes: declared_bytes(&answered),
        });
        // Neither the query nor a header: a presigned URL's signature must not reach a log.
        tracing::debug!(
            request = %id,
            method = %remembered.method,
            path = remembered.path,
            operation = watch.operation().unwrap_or_default(),
            status = answered.status().as_u16(),
            micros = took.as_micros() as u64,
            "answered"
        );
        answered
    }

    async fn s3(&self, request: Request<Body>, watch: &BodyWatch) -> HttpResponse {
        let (head, body) = request.into_parts();
        let here = self.region.as_deref().unwrap_or(REGION_WITHOUT_NAME);
        let judged = entrance::judge(&head).and_then(|signed| entrance::judge_region(&head, here).map(|()| signed));
        let answered = match judged {
            Ok(Signed::Form) => Box::pin(form::post(self, Request::from_parts(head, body))).await,
            Ok(Signed::Version4OrNot) => Ok(call(&self.s3, Request::from_parts(head, body)).await),
            Ok(Signed::Version2) => match self.verified_2(head, body).await {
                Ok(request) => Ok(call(&self.verified, request).await),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let answered = answered.unwrap_or_else(answer::of_error);
        // s3s calls every body that it cannot read an internal error; the watch knows better.
        match watch.fault() {
            Some(fault) if answered.status().is_server_error() => answer::of_error(fault.clone().into()),
            _ => answered,
        }
    }

    /// A request of version 2 behind its verification, for the s3s that takes the caller from us.
    async fn verified_2(&self, mut head: request::Parts, body: Body) -> S3Result<Request<Body>> {
        if !self.version_2 {
            return Err(s3_error!(
                InvalidRequest,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
            ));
        }
        let bucket = self.hosts.bucket_of(&head.headers, &head.uri);
        let carried = Carried::of(&head, bucket.as_deref(), self.clock.wall())?;
        let secret = Authenticator(Arc::clone(&self.keys)).get_secret_key(&carried.access_key).await?;
        carried.verify(secret.expose())?;
        head.extensions.insert(Caller { access_key: carried.access_key.clone() });
        carried.take_out(&mut head);
        Ok(Request::from_parts(head, body))
    }

    /// Health, for whoever comes without a signature: `/health/...` could be an object, and to a signed request it is.
    async fn health(&self, request: &Request<Body>) -> Option<HttpResponse> {
        let path = request.uri().path();
        let which = path.strip_prefix("/health/")?;
        let signed = request.headers().contains_key(header::AUTHORIZATION) || request.uri().query().is_some();
        let object = self.hosts.bucket_of(request.headers(), request.uri()).is_some();
        if signed || object || !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        match which {
            "live" => Some(in_words(StatusCode::OK, "live\n".to_owned())),
            "ready" => Some(match self.ready().await {
                Ok(()) => in_words(StatusCode::OK, "ready\n".to_owned()),
                Err(why) => in_words(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            }),
            _ => None,
        }
    }

    /// Whether requests can be answered: whether the metadata can be read, as of now. Says why not.
    pub async fn ready(&self) -> Result<(), String> {
        match tokio::time::timeout(READY_PATIENCE, self.client.read()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("the metadata cannot be read: {error}")),
            Err(_) => Err(format!("the metadata could not be read within {} s", READY_PATIENCE.as_secs())),
        }
    }
}
