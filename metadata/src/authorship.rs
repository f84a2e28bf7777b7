//! On whose behalf a proposal comes. It decides nothing; it stands in the log for whoever reads that later.
//!
//! ```text
//! request -> [of_request: nobody yet] -> signature verified: sign -> ... -> propose: authors_of
//!                                                                  \-> spawned task: carried
//! several requests in one proposal: of_each
//! ```
//! It travels beside the code that works for a request, not through it: every road from a request to the log would have to
//! carry a name that none of them looks at. So a road that forgets it loses a name in the log, and nothing else.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use cairn_machine::batch::AUTHOR_BYTES_MAX;
use cairn_machine::{Author, Operation};

tokio::task_local! {
    static AUTHORSHIP: Authorship;
}

/// Who is behind what a task proposes.
#[derive(Debug, Clone)]
enum Authorship {
    /// One request, whose author is known once its signature is.
    Request(Arc<OnceLock<Arc<str>>>),
    /// One request for each operation that somebody outside can have asked for, in order.
    Each(Arc<[Option<Arc<str>>]>),
}

/// Runs what a request causes; [`sign`] says whose it is.
pub async fn of_request<F: Future>(request: F) -> F::Output {
    AUTHORSHIP.scope(Authorship::Request(Arc::default()), request).await
}

/// Says whose request this is: an access key's, or nobody's where the name is empty. The first word counts. Outside of a
/// request, and for a name that no key has, nothing is noted.
pub fn sign(key: &str) {
    if key.len() > AUTHOR_BYTES_MAX {
        return;
    }
    // Outside of a request there is nothing to note it in.
    let noted = AUTHORSHIP.try_with(|authorship| {
        if let Authorship::Request(cell) = authorship {
            cell.get_or_init(|| key.into());
        }
    });
    noted.unwrap_or_default();
}

/// Whose request this is, as far as it is known.
pub fn author() -> Option<Arc<str>> {
    let known = AUTHORSHIP.try_with(|authorship| match authorship {
        Authorship::Request(cell) => cell.get().cloned(),
        Authorship::Each(_) => None,
    });
    known.ok().flatten()
}

/// The same authors for a task of its own: to be wrapped around what is spawned.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let authorship = AUTHORSHIP.try_with(Clone::clone).ok();
    async move {
        match authorship {
            Some(authorship) => AUTHORSHIP.scope(authorship, work).await,
            None => work.await,
        }
    }
}

/// Runs what proposes the operations of several requests at once. The authors are those of the operations in their order,
/// without the ones that make and settle stripes, for which nobody has asked.
pub async fn of_each<F: Future>(authors: Vec<Option<Arc<str>>>, work: F) -> F::Output {
    AUTHORSHIP.scope(Authorship::Each(authors.into()), work).await
}

/// The authors of a proposal that this task hands in, as the log has them.
pub(crate) fn authors_of(operations: &[Operation]) -> Option<Vec<Author>> {
    let found = AUTHORSHIP.try_with(|authorship| match authorship {
        Authorship::Request(cell) => {
            cell.get().map(|key| vec![Author { first: 0, key: Some(key.as_ref().to_owned()) }])
        }
        Authorship::Each(each) => of_operations(operations, each),
    });
    found.ok().flatten()
}

fn of_operations(operations: &[Operation], each: &[Option<Arc<str>>]) -> Option<Vec<Author>> {
    let mut authors: Vec<Author> = Vec::new();
    let mut each = each.iter();
    for (first, operation) in (0..).zip(operations) {
        if matches!(operation, Operation::MakeStripe { .. } | Operation::SettleStripe { .. }) {
            continue;
        }
        let key = each.next().and_then(Option::as_deref);
        if authors.last().is_none_or(|last| last.key.as_deref() != key) {
            authors.push(Author { first, key: key.map(str::to_owned) });
        }
    }
    authors.iter().any(|author| author.key.is_some()).then_some(authors)
}

#[cfg(test)]
mod tests {
    use cairn_core::{SessionId, StripeId, WriteId};

    use super::*;

    fn settle() -> Operation {
        Operation::SettleStripe { id: StripeId(WriteId { session: SessionId(1), counter: 1 }) }
    }

    fn remove(id: &str) -> Operation {
        Operation::RemoveAccessKey { id: id.into() }
    }

    fn from(first: u16, key: Option<&str>) -> Author {
        Author { first, key: key.map(str::to_owned) }
    }

    #[tokio::test]
    async fn a_request_has_an_author_once_it_is_signed_and_so_has_what_it_spawns() {
        assert_eq!(authors_of(&[remove("x")]), None, "a daemon's own");
        sign("nobody hears this");
        let found = of_request(async {
            let before = authors_of(&[remove("x")]);
            sign("key");
            sign("another");
            let spawned = tokio::spawn(carried(async { authors_of(&[remove("x")]) })).await.unwrap();
            let forgotten = tokio::spawn(async { author() }).await.unwrap();
            (before, spawned, forgotten, author())
        });
        let (before, spawned, forgotten, known) = found.await;
        assert_eq!((before, forgotten), (None, None));
        assert_eq!(spawned, Some(vec![from(0, Some("key"))]));
        assert_eq!(known.as_deref(), Some("key"));
    }

    #[tokio::test]
    async fn of_several_requests_each_operation_has_its_own() {
        let of = |authors: &[Option<&str>], operations: Vec<Operation>| {
            let authors = authors.iter().map(|key| key.map(Arc::from)).collect();
            of_each(authors, async move { authors_of(&operations) })
        };
        let three = || vec![settle(), remove("1"), remove("2"), remove("3"), settle()];
        let found = of(&[Some("a"), Some("a"), Some("b")], three()).await;
        assert_eq!(found, Some(vec![from(1, Some("a")), from(3, Some("b"))]));
        let found = of(&[None, Some(""), None], three()).await;
        assert_eq!(found, Some(vec![from(1, None), from(2, Some("")), from(3, None)]));
        assert_eq!(of(&[None, None, None], three()).await, None);
    }
}
