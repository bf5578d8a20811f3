//! Which cluster a node is of: one for life.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use thiserror::Error;

use super::storage::{ClusterId, DataDir, Identity, StorageError};
use crate::engine::grant::NodeId;

/// Why a node did not take a cluster for its own.
#[derive(Debug, Error)]
pub(crate) enum BelongingError {
    /// It is of another already.
    #[error("this node belongs to cluster {own}, not to {other}")]
    OtherCluster {
        /// Its own.
        own: ClusterId,
        /// The one that called.
        other: ClusterId,
    },
    /// It could not be written down.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The data directory was closed.
    #[error("the node has stopped")]
    Stopped,
}

/// A node's cluster. A new node draws the id of the cluster that it would found, and may be called into another before it has.
#[derive(Debug)]
pub(crate) struct Belonging {
    identity: Mutex<Identity>,
    /// Held while a cluster is written down, which takes as long as the disk does; who only asks is not kept waiting.
    binding: Mutex<()>,
    /// `None` for a node in memory. Weak, for who is asked to leave the directory must not be held here.
    directory: Option<Weak<DataDir>>,
}

impl Belonging {
    /// Of what is in this directory.
    pub(super) fn on_disk(directory: &Arc<DataDir>) -> Self {
        Self { identity: Mutex::new(directory.identity()), binding: Mutex::new(()), directory: Some(Arc::downgrade(directory)) }
    }

    /// Of a node that keeps nothing.
    pub(super) fn in_memory(node: NodeId) -> Self {
        let identity = Identity { node: node.get(), cluster: ClusterId(rand::random()), is_bound: false };
        Self { identity: Mutex::new(identity), binding: Mutex::new(()), directory: None }
    }

    /// The cluster that the node is of, or would found.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.identity.lock().cluster
    }

    /// Whether it is of its cluster for good.
    pub(crate) fn is_bound(&self) -> bool {
        self.identity.lock().is_bound
    }

    /// Takes this cluster for its own, for life and durably; blocks on the disk the first time.
    ///
    /// # Errors
    /// [`BelongingError`]: nothing has changed then.
    pub(crate) fn bind(&self, cluster: ClusterId) -> Result<(), BelongingError> {
        let _alone = self.binding.lock();
        let identity = *self.identity.lock();
        if identity.is_bound {
            let own = identity.cluster;
            return if own == cluster { Ok(()) } else { Err(BelongingError::OtherCluster { own, other: cluster }) };
        }
        let bound = Identity { cluster, is_bound: true, ..identity };
        if let Some(directory) = &self.directory {
            directory.upgrade().ok_or(BelongingError::Stopped)?.write_identity(bound)?;
        }
        *self.identity.lock() = bound;
        Ok(())
    }
}
