//! What happens between a verified signature and the first byte of a body: who asks, for what, and may it be.

use std::net::IpAddr;
use std::sync::Arc;

use cairn_core::{Clock, ClusterId};
use cairn_metadata::{Client, authorship, query};
use http::{HeaderMap, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::dto::CopySource;
use s3s::path::S3Path;
use s3s::{S3Error, S3Result, s3_error};

use crate::auth::AccessKeys;
use crate::authority::demands::{self, Demand, Need};
use crate::authority::facts::Facts;
use crate::authority::situation::{Judged, Situation, Wanted};
use crate::authority::{Identity, lists, user_id};
use crate::body::BodyWatch;
use crate::budget::MemoryBudget;
use crate::fault::Fault;
use crate::guard::{self, BodyKind};
use crate::names;
use crate::query_string;

/// Whose signature was verified, where that was not s3s: the access key. Behind the access check every request has an
/// [`Identity`] among its extensions, whoever verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key's id.
    pub access_key: String,
}

/// From where a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Conditions of writes that say of the object that is there how it must be.
const IF_MATCH: &[&str] = &["if-match", "x-amz-if-match-last-modified-time", "x-amz-if-match-size"];

/// Judges every request before its body is read.
#[derive(Debug)]
pub struct Access {
    /// Which cluster this is.
    pub cluster: ClusterId,
    /// Who owns it.
    pub owner: String,
    /// The access keys.
    pub keys: Arc<AccessKeys>,
    /// The metadata.
    pub client: Client,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// XML bodies, which are kept whole, take their memory from this budget.
    pub memory: MemoryBudget,
}

/// What someone without a signature hears who wants to choose the answer's headers.
fn judge_overrides(uri: &Uri) -> S3Result<()> {
    let overrides = query_string::pairs(uri.query().unwrap_or_default());
    if overrides.is_ok_and(|pairs| pairs.iter().any(|pair| pair.name.starts_with("response-"))) {
        return Err(s3_error!(
            InvalidRequest,
            "Request specific response headers cannot be used for anonymous GET requests."
        ));
    }
    Ok(())
}

fn denied() -> S3Error {
    s3_error!(AccessDenied)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// What a request demands beside its operation's own demand, by what its headers ask for.
fn further_demands(demand: &Demand, headers: &HeaderMap) -> Vec<Demand> {
    let mut further = Vec::new();
    let writes = *demand == demands::PUT;
    // Whoever may write an object may say whose it is and tag it, unless a policy has another opinion.
    if writes && lists::is_in_headers(headers) {
        further.push(Demand { need: demand.need, ..demands::PUT_OBJECT_ACL });
    }
    if writes && headers.contains_key("x-amz-tagging") {
        further.push(Demand { need: demand.need, ..demands::PUT_OBJECT_TAGS });
    }
    if writes && headers.contains_key("x-amz-object-lock-mode") {
        further.push(demands::PUT_RETENTION);
    }
    if writes && headers.contains_key("x-amz-object-lock-legal-hold") {
        further.push(demands::PUT_HOLD);
    }
    // Whoever hears whether a condition held knows something of what is there.
    let conditional = IF_MATCH.iter().any(|name| headers.contains_key(*name));
    if conditional && (writes || *demand == demands::DELETE) {
        further.push(demands::GET);
    }
    if text(headers, "x-amz-bypass-governance-retention").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        further.push(demands::BYPASS);
    }
    further
}

impl Access {
    async fn identity(&self, cx: &mut S3AccessContext<'_>) -> S3Result<Identity> {
        let access_key = match cx.credentials() {
            Some(credentials) => credentials.access_key.clone(),
            None => match cx.extensions_mut().get::<Caller>() {
                Some(caller) => caller.access_key.clone(),
                None => {
                    authorship::sign("");
                    return Ok(Identity::Anonymous);
                }
            },
        };
        authorship::sign(&access_key);
        let row = self.keys.row(&access_key).await?.ok_or_else(|| s3_error!(InvalidAccessKeyId))?;
        let id = if row.root { self.owner.clone() } else { user_id(self.cluster, &access_key) };
        Ok(Identity::User { id, access_key, root: row.root })
    }

    /// The situation of a bucket; `None` where there is no such bucket, which the operation says itself.
    async fn situation(&self, bucket: &str) -> Result<Option<Situation>, Fault> {
        let Ok(name) = names::bucket(bucket) else { return Ok(None) };
        let view = self.client.read().await?;
        match query::bucket_by_name(&view, &name)? {
            Some((id, row)) => Ok(Some(Situation::read(view, id, &row, &self.owner)?)),
            None => Ok(None),
        }
    }

    /// Whether somebody may do this. Says which version was judged by its own list.
    async fn authorise(&self, cx: &S3AccessContext<'_>, facts: &Facts<'_>) -> Result<Option<Judged>, Fault> {
        let (identity, headers) = (facts.identity, cx.headers());
        let owners = ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"];
        if identity.is_root() && owners.iter().all(|name| !headers.contains_key(*name)) {
            return Ok(None);
        }
        let demand = demands::of(facts.operation).ok_or_else(denied)?;
        if demand.need == Need::Signature {
            return if identity.id().is_some() { Ok(None) } else { Err(denied().into()) };
        }
        let (bucket, key) = match cx.s3_path() {
            S3Path::Object { bucket, key } => (bucket, Some(key)),
            S3Path::Bucket { bucket } => (bucket, None),
            S3Path::Root => return Err(denied().into()),
        };
        let mut judged = None;
        if let Some(situation) = self.situation(bucket).await? {
            if text(headers, owners[0]).is_some_and(|expected| expected != situation.owner) {
                return Err(s3_error!(AccessDenied, "The bucket does not belong to the expected owner.").into());
            }
            let pairs = query_string::pairs(cx.uri().query().unwrap_or_default()).map_err(Fault::from)?;
            let version = pairs.iter().find(|pair| pair.name == "versionId").map(|pair| pair.value.as_ref());
            let wanted = key.map(|key| Wanted { key, version });
            let (allowed, version) = situation.allows(identity, &demand, wanted, facts)?;
            // Which objects are to be deleted stands in a body that is read only for whoever may delete some.
            let many = facts.operation == "DeleteObjects" && situation.may_allow(identity, demand.action);
            if !allowed && !many {
                return Err(denied().into());
            }
            for further in further_demands(&demand, headers) {
                if !many && !situation.allows(identity, &further, wanted, facts)?.0 {
                    return Err(denied().into());
                }
            }
            judged = version.filter(|_| matches!(facts.operation, "GetObject" | "HeadObject"));
        }
        self.authorise_source(headers, facts).await?;
        Ok(judged)
    }

    /// A copy reads its source.
    async fn authorise_source(&self, headers: &HeaderMap, facts: &Facts<'_>) -> Result<(), Fault> {
        let Some(source) = text(headers, "x-amz-copy-source") else { return Ok(()) };
        let (bucket, key, version) = match CopySource::parse(source) {
            Ok(CopySource::Bucket { bucket, key, version_id }) => (bucket, key, version_id),
            Ok(_) => return Err(denied().into()),
            Err(_) => {
                return Err(s3_error!(InvalidArgument, "Copy Source must mention the source bucket and key.").into());
            }
        };
        let Some(situation) = self.situation(&bucket).await? else { return Ok(()) };
        let expected = text(headers, "x-amz-source-expected-bucket-owner");
        if expected.is_some_and(|expected| expected != situation.owner) {
            return Err(s3_error!(AccessDenied, "The bucket does not belong to the expected owner.").into());
        }
        let wanted = Some(Wanted { key: &key, version: version.as_deref() });
        match situation.allows(facts.identity, &demands::GET, wanted, facts)?.0 {
            true => Ok(()),
            false => Err(denied().into()),
        }
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let identity = self.identity(cx).await?;
        let operation = cx.s3_op().name().to_owned();
        if identity == Identity::Anonymous {
            judge_overrides(cx.uri())?;
        }
        let shape = guard::judge(&operation, cx.uri(), cx.headers())?;
        if let Some(watch) = cx.extensions_mut().get::<Arc<BodyWatch>>() {
            watch.belongs_to(shape.name);
        }
        let peer = cx.extensions_mut().get::<Peer>().map(|peer| peer.0);
        let now = self.clock.wall();
        let (uri, headers) = (cx.uri(), cx.headers());
        let facts =
            Facts { operation: &operation, uri, headers, identity: &identity, peer, now, tags: None, listed: None };
        let judged = self.authorise(cx, &facts).await?;
        // Before a byte of the body is read, and not before it is known that the asker may ask.
        if let Some(covered) = self.client.covered()
            && !matches!(*cx.method(), http::Method::GET | http::Method::HEAD)
        {
            return Err(Fault::ReadOnly(covered.to_string()).into());
        }
        cx.extensions_mut().insert(identity);
        if let Some(judged) = judged {
            cx.extensions_mut().insert(judged);
        }
        if let BodyKind::Xml { bytes_max } = shape.body {
            let promises = shape.promises(cx.headers())?;
            let sha256 = match cx.headers().get("x-amz-content-sha256").map(|value| value.as_bytes()) {
                Some(value) if value.starts_with(b"STREAMING-") => {
                    return Err(s3_error!(NotImplemented, "aws-chunked XML bodies are not implemented."));
                }
                Some(value) if value != b"UNSIGNED-PAYLOAD" => {
                    let mut sha256 = [0; 32];
                    hex::decode_to_slice(value, &mut sha256)
                        .map_err(|_| s3_error!(InvalidRequest, "x-amz-content-sha256 is malformed."))?;
                    Some(sha256)
                }
                _ => None,
            };
            // Whoever carried the body in hung its watch here; without one nothing could be verified.
            let watch = cx.extensions_mut().get::<Arc<BodyWatch>>().ok_or_else(|| s3_error!(InternalError))?;
            let watch = Arc::clone(watch);
            watch.expect(promises, sha256, bytes_max);
            let bytes = declared_length(cx.headers()).map_or(bytes_max, |bytes| bytes.min(bytes_max));
            if bytes > 0 {
                watch.hold(self.memory.reserve(shape.memory_of(bytes)).await.map_err(Fault::from)?);
            }
        }
        Ok(())
    }
}
