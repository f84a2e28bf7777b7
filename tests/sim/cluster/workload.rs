//! Clients of all gateways at once: plain and conditional writes, deletes, reads and listings of a few keys, so that they
//! meet. Everything goes into a history.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cairn_harness::history::{Answer, Ask, History, OperationId};
use cairn_harness::seed;
use md5::{Digest, Md5};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::{Instant, sleep, timeout};

use super::machine::{Machine, Running};
use super::trace::Trace;

/// The bucket that everything goes to.
pub const BUCKET: &str = "simulated";

/// The keys.
const KEYS: u64 = 6;

/// How long a client waits. The gateways' own deadlines are shorter.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long a client that found nobody looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What was asked for and what was seen.
#[derive(Debug, Default)]
pub struct Workload {
    /// The history.
    pub history: History,
    /// Every content that was ever sent, by its ETag.
    contents: RefCell<BTreeMap<String, Bytes>>,
    sent: Cell<u64>,
    answered: Cell<u64>,
}

/// What came back; nothing where nobody knows.
type Reply = Option<(u16, http::HeaderMap, Bytes)>;

fn key(number: u64) -> String {
    format!("k{number}")
}

async fn ask(running: &Running, method: &str, key: &str, condition: Option<(&str, &str)>, body: Bytes) -> Reply {
    let path = format!("/{BUCKET}/{key}");
    let asked = Box::pin(running.s3.exchange_if(method, &path, "", condition, body));
    tokio::select! {
        biased;
        () = running.power.gone() => None,
        reply = timeout(PATIENCE, asked) => reply.ok().filter(|(status, ..)| *status < 500),
    }
}

fn etag(head: &http::HeaderMap) -> String {
    head["etag"].to_str().unwrap().trim_matches('"').to_owned()
}

impl Workload {
    /// How many requests were answered.
    pub fn answered(&self) -> u64 {
        self.answered.get()
    }

    /// Contents that were never sent before, with their ETag.
    fn content(&self, chance: &mut StdRng) -> (String, Bytes) {
        let number = self.sent.replace(self.sent.get() + 1);
        let length = *[0, 40, 700, 4_096, 9_000, 70_000, 150_000].choose(chance).unwrap();
        let mut body = format!("{number} ").into_bytes();
        body.extend_from_slice(&seed::bytes(chance, length));
        let (etag, body) = (hex::encode(Md5::digest(&body)), Bytes::from(body));
        self.contents.borrow_mut().insert(etag.clone(), body.clone());
        (etag, body)
    }

    /// One client: asks one machine after the other until the moment comes.
    pub async fn customer(
        &self,
        number: u64,
        machines: &[std::rc::Rc<Machine>],
        mut chance: StdRng,
        until: &Cell<Option<Instant>>,
        trace: &Trace,
    ) {
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        while until.get().is_none_or(|until| Instant::now() < until) {
            let machine = machines.choose(&mut chance).unwrap();
            let Some(running) = machine.running() else {
                sleep(LOOK_AGAIN).await;
                continue;
            };
            let key = key(chance.random_range(0..KEYS));
            let told = match chance.random_range(0..20) {
                0..6 => self.get(number, &running, &key, Some(&mut known)).await,
                6..11 => {
                    let (etag, body) = self.content(&mut chance);
                    self.write(number, &running, &key, Ask::Put(etag), body).await
                }
                11..14 => {
                    let (etag, body) = self.content(&mut chance);
                    self.write(number, &running, &key, Ask::Create(etag), body).await
                }
                14..17 => {
                    let Some(expected) = known.get(&key).cloned() else { continue };
                    let (new, body) = self.content(&mut chance);
                    self.write(number, &running, &key, Ask::Replace { expected, new }, body).await
                }
                17..19 => self.write(number, &running, &key, Ask::Delete, Bytes::new()).await,
                _ => self.list(number, &running).await,
            };
            trace.note(&format!("client {number} asks machine {}: {key} {told}", machine.number));
            sleep(Duration::from_millis(chance.random_range(0..300))).await;
        }
    }

    fn judged(&self, operation: OperationId, answer: Answer) -> String {
        if answer != Answer::Unknown {
            self.answered.set(self.answered.get() + 1);
        }
        let told = format!("{answer:?}");
        self.history.end(operation, answer);
        told
    }

    async fn write(&self, client: u64, running: &Running, key: &str, what: Ask, body: Bytes) -> String {
        let told = match &what {
            Ask::Put(_) => format!("put {}", body.len()),
            Ask::Create(_) => format!("create {}", body.len()),
            Ask::Replace { .. } => format!("replace {}", body.len()),
            Ask::Delete | Ask::Get => "delete".to_owned(),
        };
        let expected = match &what {
            Ask::Replace { expected, .. } => format!("\"{expected}\""),
            _ => "*".to_owned(),
        };
        let condition = match &what {
            Ask::Create(_) => Some(("if-none-match", expected.as_str())),
            Ask::Replace { .. } => Some(("if-match", expected.as_str())),
            _ => None,
        };
        let method = if what == Ask::Delete { "DELETE" } else { "PUT" };
        let operation = self.history.begin(client, key, what.clone());
        let answer = match ask(running, method, key, condition, body).await {
            None => Answer::Unknown,
            Some((200 | 204, head, _)) => {
                if let Ask::Put(sent) | Ask::Create(sent) | Ask::Replace { new: sent, .. } = &what {
                    assert_eq!(etag(&head), *sent, "what was acknowledged is what was sent");
                }
                Answer::Done
            }
            Some((412, ..)) => Answer::Differs,
            Some((404, ..)) if matches!(what, Ask::Replace { .. }) => Answer::Differs,
            Some((409, ..)) => Answer::Unknown,
            Some((other, _, body)) => panic!("{method} {key}: {other} {}", String::from_utf8_lossy(&body)),
        };
        format!("{told} -> {}", self.judged(operation, answer))
    }

    /// Reads a key. What comes back is what was once sent, byte for byte.
    pub async fn get(
        &self,
        client: u64,
        running: &Running,
        key: &str,
        known: Option<&mut BTreeMap<String, String>>,
    ) -> String {
        let operation = self.history.begin(client, key, Ask::Get);
        let answer = match ask(running, "GET", key, None, Bytes::new()).await {
            None => Answer::Unknown,
            Some((200, head, body)) => {
                let etag = etag(&head);
                let contents = self.contents.borrow();
                let sent = contents.get(&etag).unwrap_or_else(|| panic!("{key} has an ETag that nobody sent: {etag}"));
                assert!(*sent == body, "{key}: {} bytes came back that are not those of {etag}", body.len());
                if let Some(known) = known {
                    known.insert(key.to_owned(), etag.clone());
                }
                Answer::Found(Some(etag))
            }
            Some((404, ..)) => Answer::Found(None),
            Some((other, _, body)) => panic!("GET {key}: {other} {}", String::from_utf8_lossy(&body)),
        };
        format!("get -> {}", self.judged(operation, answer))
    }

    /// Lists the bucket: a look at each key.
    pub async fn list(&self, client: u64, running: &Running) -> String {
        let looks: Vec<_> = (0..KEYS).map(key).map(|key| (self.history.begin(client, &key, Ask::Get), key)).collect();
        let listed = match ask(running, "GET", "", None, Bytes::new()).await {
            None => None,
            Some((200, _, body)) => Some(listed(&String::from_utf8_lossy(&body))),
            Some((other, _, body)) => panic!("GET of a listing: {other} {}", String::from_utf8_lossy(&body)),
        };
        for (operation, key) in looks {
            let answer = match &listed {
                Some(listed) => Answer::Found(listed.get(&key).cloned()),
                None => Answer::Unknown,
            };
            self.judged(operation, answer);
        }
        format!("list -> {:?}", listed.map(|listed| listed.len()))
    }

    /// Reads everything through one machine; whether every read was answered.
    pub async fn read_all(&self, client: u64, running: &Running) -> bool {
        let mut all = true;
        for number in 0..KEYS {
            all &= !self.get(client, running, &key(number), None).await.contains("Unknown");
        }
        all && !self.list(client, running).await.contains("None")
    }
}

/// The keys of a listing with their ETags.
fn listed(text: &str) -> BTreeMap<String, String> {
    let part = |entry: &str, tag: &str| {
        let (_, rest) = entry.split_once(&format!("<{tag}>")).unwrap();
        rest.split_once(&format!("</{tag}>")).unwrap().0.replace("&quot;", "").trim_matches('"').to_owned()
    };
    text.split("<Contents>").skip(1).map(|entry| (part(entry, "Key"), part(entry, "ETag"))).collect()
}
