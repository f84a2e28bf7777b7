//! The power of a machine. What runs on it is not stopped when it goes: the tasks of a dead process go on in the
//! simulation until they notice. Nothing that they do reaches a disk or another machine.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use cairn_cluster::Network;
use cairn_cluster::network::{Acceptor, BoxStream};
use cairn_journal::Files;
use cairn_journal::files::faulty::FaultyFiles;
use cairn_journal::files::{DirEntry, File, Space};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// Power from a start to the next cut.
#[derive(Debug, Clone, Default)]
pub struct Power(CancellationToken);

impl Power {
    /// It is gone from now on.
    pub fn cut(&self) {
        self.0.cancel();
    }

    /// Waits until it goes.
    pub async fn gone(&self) {
        self.0.cancelled().await;
    }

    /// Whether it went.
    pub fn is_gone(&self) -> bool {
        self.0.is_cancelled()
    }

    fn check(&self) -> io::Result<()> {
        if self.is_gone() { Err(io::Error::other("this machine has no power")) } else { Ok(()) }
    }
}

/// The disk of a machine while it has power. Files that are open die with the disk's own crash.
#[derive(Debug)]
pub struct PoweredFiles {
    /// The disk.
    pub files: FaultyFiles,
    /// The power.
    pub power: Power,
}

impl Files for PoweredFiles {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.power.check()?;
        self.files.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.power.check()?;
        self.files.open(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.power.check()?;
        self.files.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.power.check()?;
        self.files.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.power.check()?;
        self.files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.power.check()?;
        self.files.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.power.check()?;
        self.files.sync_dir(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.power.check()?;
        self.files.space(path)
    }
}

/// The network of a machine while it has power. Streams that are open break with the network's own crash.
#[derive(Debug)]
pub struct PoweredNetwork {
    /// The network, as the machine sees it.
    pub network: Arc<dyn Network>,
    /// The power.
    pub power: Power,
}

impl Network for PoweredNetwork {
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        async move {
            let connecting = self.network.connect(to);
            let stream = tokio::select! {
                biased;
                () = self.power.gone() => None,
                stream = connecting => Some(stream?),
            };
            self.power.check()?;
            Ok(stream.expect("with power there is an answer"))
        }
        .boxed()
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Acceptor>>> {
        async move {
            self.power.check()?;
            self.network.listen(at).await
        }
        .boxed()
    }
}
