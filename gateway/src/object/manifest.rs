//! A manifest while it is filled: its pages, and that nothing is left of it should it not become anybody's content.

use cairn_core::{BucketId, ObjectKey, SessionId, VersionId};
use cairn_machine::operation::{ByteRange, ChosenPart, NewContent, NewExtent, Operation};
use cairn_machine::rows::manifest::ManifestId;
use cairn_machine::rows::profile::ProfileId;
use cairn_metadata::{Client, WriteTicket};

use crate::multipart::Named;

/// A manifest that is nobody's content yet. Unless it becomes somebody's, it is given up when this is dropped.
#[derive(Debug)]
pub struct PendingManifest {
    client: Client,
    ticket: WriteTicket,
    pages: u32,
    kept: bool,
}

impl PendingManifest {
    /// One without pages.
    pub fn begin(client: &Client) -> Self {
        Self { client: client.clone(), ticket: client.begin_write(), pages: 0, kept: false }
    }

    /// The session that fills it, and the only one that can make it somebody's.
    pub fn session(&self) -> SessionId {
        self.ticket.id().session
    }

    /// Its name.
    pub fn id(&self) -> ManifestId {
        ManifestId(self.ticket.id())
    }

    /// As the content of what it becomes.
    pub fn content(&self) -> NewContent {
        NewContent::Manifest(self.id())
    }

    /// What makes a page of these extents the next one.
    pub fn next_extents(&mut self, extents: Vec<NewExtent>, profile: ProfileId) -> Operation {
        Operation::AddManifestPage { manifest: self.id(), page: self.next(), extents, profile }
    }

    /// What makes a page of these parts of an upload the next one.
    pub fn next_parts(&mut self, of: &Named, parts: Vec<ChosenPart>) -> Operation {
        let Named { bucket, key, upload } = of.clone();
        Operation::AddPartsPage { manifest: self.id(), page: self.next(), bucket, key, upload, parts }
    }

    /// What makes a page of bytes that a version has already the next one.
    pub fn next_shared(
        &mut self,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionId,
        range: ByteRange,
    ) -> Operation {
        let (manifest, page, key) = (self.id(), self.next(), key.clone());
        Operation::AddSharedPage { manifest, page, bucket, key, version, range }
    }

    fn next(&mut self) -> u32 {
        let page = self.pages;
        self.pages += 1;
        page
    }

    /// It is somebody's content now.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for PendingManifest {
    /// Gives up what nobody has. Where that cannot be said any more, the end of the session says it; and where nobody
    /// knows whether somebody has it, the log does, and refuses.
    fn drop(&mut self) {
        if self.kept || self.pages == 0 {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (client, manifest, session) = (self.client.clone(), self.id(), self.session());
        runtime.spawn(async move {
            let given_up = client.propose(vec![Operation::AbandonManifest { manifest, session }]).await;
            if let Err(error) = given_up {
                tracing::debug!(%error, ?manifest, "a manifest is left to the end of its session");
            }
        });
    }
}
