//! Which cluster a node is of: one for life. Until then, what it has given its word for.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::storage::{DataDir, Identity, StorageError};
use crate::engine::founding::{Acceptance, Acceptor, Ballot, Founding, Promise};
use crate::engine::grant::{ClusterId, NodeId};
use crate::wire::codec;

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

/// What a node says to one that founds a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FoundingAnswer {
    /// To its ballot.
    Promise(Promise),
    /// To its founding.
    Acceptance(Acceptance),
    /// It is of a cluster for good, and has nothing more to say.
    Bound,
}

/// What outlives a node's process before it has a cluster, and until it has a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Word {
    acceptor: Acceptor,
    /// What was chosen, once that is known here: its voters begin its log.
    chosen: Option<Founding>,
}

/// A node's cluster. A new node draws the id of the cluster that it would found, and may come to another before it has.
///
/// What blocks here blocks on the disk; who only asks is not kept waiting.
#[derive(Debug)]
pub(crate) struct Belonging {
    identity: Mutex<Identity>,
    /// Held while anything is written down.
    word: Mutex<Word>,
    /// `None` for a node in memory. Weak, for who is asked to leave the directory must not be held here.
    directory: Option<Weak<DataDir>>,
}

impl Belonging {
    /// Of what is in this directory.
    ///
    /// # Errors
    /// When that can't be read.
    pub(super) fn on_disk(directory: &Arc<DataDir>) -> Result<Self, StorageError> {
        let word = match directory.read_founding()? {
            Some(body) => codec::decode(&body).map_err(StorageError::codec(directory.path()))?,
            None => Word::default(),
        };
        let (identity, word) = (Mutex::new(directory.identity()), Mutex::new(word));
        Ok(Self { identity, word, directory: Some(Arc::downgrade(directory)) })
    }

    /// Of a node that keeps nothing.
    pub(super) fn in_memory(node: NodeId) -> Self {
        let identity = Identity { node: node.get(), cluster: ClusterId(rand::random()), is_bound: false };
        Self { identity: Mutex::new(identity), word: Mutex::default(), directory: None }
    }

    /// The cluster that the node is of, or would found.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.identity.lock().cluster
    }

    /// Whether it is of its cluster for good.
    pub(crate) fn is_bound(&self) -> bool {
        self.identity.lock().is_bound
    }

    /// The highest ballot that it has promised.
    pub(crate) fn promised(&self) -> Option<Ballot> {
        self.word.lock().acceptor.promised()
    }

    /// What was chosen, if it is known here.
    pub(crate) fn chosen(&self) -> Option<Founding> {
        self.word.lock().chosen.clone()
    }

    /// Answers who wants to found a cluster; blocks on the disk.
    ///
    /// # Errors
    /// [`BelongingError`]: nothing was promised then.
    pub(crate) fn prepare(&self, ballot: Ballot) -> Result<FoundingAnswer, BelongingError> {
        self.give_word(|acceptor| FoundingAnswer::Promise(acceptor.prepare(ballot)))
    }

    /// Answers who asks for a founding; blocks on the disk.
    ///
    /// # Errors
    /// [`BelongingError`]: nothing was accepted then.
    pub(crate) fn accept(&self, ballot: Ballot, founding: Founding) -> Result<FoundingAnswer, BelongingError> {
        self.give_word(|acceptor| FoundingAnswer::Acceptance(acceptor.accept(ballot, founding)))
    }

    fn give_word(&self, ask: impl FnOnce(&mut Acceptor) -> FoundingAnswer) -> Result<FoundingAnswer, BelongingError> {
        let mut word = self.word.lock();
        if self.is_bound() {
            return Ok(FoundingAnswer::Bound);
        }
        let mut next = word.clone();
        let answer = ask(&mut next.acceptor);
        self.write_word(&mut word, next)?;
        Ok(answer)
    }

    /// Takes what was chosen for good, durably; blocks on the disk.
    ///
    /// # Errors
    /// [`BelongingError`]: nothing has changed then.
    pub(crate) fn choose(&self, founding: &Founding) -> Result<(), BelongingError> {
        {
            let mut word = self.word.lock();
            if !self.is_bound() {
                let next = Word { chosen: Some(founding.clone()), ..word.clone() };
                self.write_word(&mut word, next)?;
            }
        }
        self.bind(founding.cluster)
    }

    fn write_word(&self, word: &mut Word, next: Word) -> Result<(), BelongingError> {
        if *word == next {
            return Ok(());
        }
        if let Some(directory) = &self.directory {
            let directory = directory.upgrade().ok_or(BelongingError::Stopped)?;
            let body = codec::encode(&next).map_err(StorageError::codec(directory.path()))?;
            directory.write_founding(&body)?;
        }
        *word = next;
        Ok(())
    }

    /// Takes this cluster for its own, for life and durably; blocks on the disk the first time.
    ///
    /// # Errors
    /// [`BelongingError`]: nothing has changed then.
    pub(crate) fn bind(&self, cluster: ClusterId) -> Result<(), BelongingError> {
        let _alone = self.word.lock();
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
