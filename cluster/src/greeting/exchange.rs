//! Moves greetings over a stream. Patience is the caller's affair: both functions are cut off from outside.

use std::io;

use cairn_core::{Entropy, NodeId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Answerer, Caller, ConnectionKey, GREETING_BYTES, GreetError, Greeted, Nonce, OnHello, PROOF_BYTES};
use crate::class::Class;
use crate::greeting::WIRE_VERSION;
use crate::network::BoxStream;

fn draw(entropy: &dyn Entropy) -> Nonce {
    let mut nonce = Nonce::default();
    entropy.fill(&mut nonce);
    nonce
}

/// A stream that ends inside a greeting says the same as one that ends before it.
async fn take<const N: usize>(stream: &mut BoxStream) -> Result<[u8; N], GreetError> {
    let mut bytes = [0; N];
    match stream.read_exact(&mut bytes).await {
        Ok(_) => Ok(bytes),
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            Err(GreetError::Silence)
        }
        Err(error) => Err(GreetError::Broken(error)),
    }
}

/// The opening end.
pub(crate) async fn greet(
    stream: &mut BoxStream,
    key: &ConnectionKey,
    me: NodeId,
    expected: Option<NodeId>,
    class: Class,
    entropy: &dyn Entropy,
) -> Result<Greeted, GreetError> {
    let caller = Caller::new(key, me, expected, class, WIRE_VERSION, draw(entropy));
    stream.write_all(caller.hello()).await?;
    stream.flush().await?;
    let answer = take::<GREETING_BYTES>(stream).await?;
    let (greeted, proof) = caller.on_answer(key, &answer)?;
    stream.write_all(&proof).await?;
    stream.flush().await?;
    Ok(greeted)
}

/// The accepting end. A stranger hears nothing; a node that is refused hears why.
pub(crate) async fn respond(
    stream: &mut BoxStream,
    key: &ConnectionKey,
    me: NodeId,
    entropy: &dyn Entropy,
    full: impl FnOnce(NodeId, Class) -> bool,
) -> Result<Greeted, GreetError> {
    let hello = take::<GREETING_BYTES>(stream).await?;
    let answerer = match Answerer::on_hello(key, me, draw(entropy), &hello, full)? {
        OnHello::Welcome(answerer) => answerer,
        OnHello::Refuse(bytes, error) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            return Err(error);
        }
    };
    stream.write_all(answerer.welcome()).await?;
    stream.flush().await?;
    let proof = take::<PROOF_BYTES>(stream).await?;
    answerer.on_proof(&proof)
}
