//! The end that has the drives.

use std::sync::Arc;

use bytes::Bytes;
use cairn_core::{ChunkError, ChunkHead, ChunkRecord, ChunkStore, Drives, Entropy};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::health::Reporter;
use super::wire::{self, Malformed};
use crate::message::Payload;
use crate::service::{Declined, Failure, Reply, Request, Service};

/// Serves this process's own drives to other nodes.
#[derive(Debug)]
pub struct ChunkService {
    drives: Arc<Drives>,
    reporter: Reporter,
}

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Declined::NotUnderstood.into()
    }
}

impl ChunkService {
    /// `drives` are those of this process, and none that are remote to it: a call is never passed on.
    pub fn new(drives: Arc<Drives>, entropy: &dyn Entropy) -> Arc<Self> {
        Arc::new(Self { drives, reporter: Reporter::new(entropy.next_u64()) })
    }

    async fn serve(&self, request: Request) -> Result<Reply, Failure> {
        let (drive, rest) = wire::split_drive(request.head)?;
        let store = match self.drives.get(drive) {
            Ok(store) => store,
            Err(error) => return Ok(Reply::head(wire::encode_answer(Err(&error), None))),
        };
        let store = &*store;
        match request.method {
            wire::PUT => {
                let chunk = take_chunk(rest, request.body)?;
                Ok(self.changed(store, store.put(chunk).await.map(|()| Bytes::new())))
            }
            wire::GET => {
                let (name, range) = wire::decode_range(&rest)?;
                Ok(match store.get(name, range).await {
                    Ok(slice) => {
                        let head = wire::encode_answer(Ok(&slice.head().encode()), None);
                        Reply { head, body: Payload::Unproven(vec![slice.into_blocks()]) }
                    }
                    Err(error) => Reply::head(wire::encode_answer(Err(&error), None)),
                })
            }
            wire::HEAD => Ok(chunk_head(store.head(wire::decode_name(&rest)?).await)),
            wire::READ_BACK => Ok(chunk_head(store.read_back(wire::decode_name(&rest)?).await)),
            wire::DELETE => {
                let deleted = store.delete(wire::decode_name(&rest)?).await;
                Ok(self.changed(store, deleted.map(|there| Bytes::copy_from_slice(&[u8::from(there)]))))
            }
            wire::LIST => {
                let (after, limit) = wire::decode_page(&rest)?;
                Ok(match store.list(after, limit).await {
                    Ok(stats) => Reply {
                        head: wire::encode_answer(Ok(&[]), Some(self.reporter.report(store))),
                        body: Payload::Sealed(wire::encode_stats(&stats)),
                    },
                    Err(error) => self.changed(store, Err(error)),
                })
            }
            wire::DIGEST => {
                let (after, until) = wire::decode_bounds(&rest)?;
                let digest = store.digest(after, until).await;
                Ok(self.changed(store, digest.map(|digest| wire::encode_digest(&digest))))
            }
            wire::HEALTH => Ok(self.changed(store, Ok(Bytes::new()))),
            _ => Err(Declined::NoMethod.into()),
        }
    }

    /// An answer with the drive's health after it.
    fn changed(&self, store: &dyn ChunkStore, result: Result<Bytes, ChunkError>) -> Reply {
        let result = result.as_ref().map(|value| &value[..]);
        Reply::head(wire::encode_answer(result, Some(self.reporter.report(store))))
    }
}

/// A chunk as it arrived, checked block by block: the drive believes what it is given, and acknowledges what it keeps.
/// Hashing holds up this thread for half a millisecond where a chunk is 4 MiB, less than handing it over would cost.
fn take_chunk(head: Bytes, body: Payload) -> Result<ChunkRecord, Failure> {
    let Payload::Unproven(body) = body else { return Err(Declined::NotUnderstood.into()) };
    let head = ChunkHead::decode(&head).map_err(|_| Declined::NotUnderstood)?;
    let length: usize = body.iter().map(Bytes::len).sum();
    if length != head.length() as usize {
        return Err(Failure::Garbled("a chunk is not as long as its head says"));
    }
    let found = ChunkHead::seal(*head.name(), head.geometry(), head.block_bytes(), head.written(), &body);
    if found != head {
        return Err(Failure::Garbled("a chunk's bytes are not those of its head"));
    }
    Ok(ChunkRecord { head: Arc::new(head), body })
}

fn chunk_head(head: Result<Arc<ChunkHead>, ChunkError>) -> Reply {
    let encoded = head.as_ref().map(|head| head.encode());
    Reply::head(wire::encode_answer(encoded.as_ref().map(|head| &head[..]).map_err(|error| *error), None))
}

impl Service for ChunkService {
    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>> {
        self.serve(request).boxed()
    }
}
