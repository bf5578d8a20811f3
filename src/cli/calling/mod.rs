//! The commands that call as any client does: `turnstile acquire`, `try`, `exec` and `explain`.
//!
//! ```text
//! flags ──► Turn ──► Acquire at a node ──► granted ──► printed, or the command is run
//!             ▲            │
//!             └────────────┘ the node can't be reached, or is gone: the next one, under the same request id
//! ```
//!
//! Promises: who is told to end leaves the queue; the wait is as long as was said, however many nodes it takes.

mod acquire;
mod child;
mod exec;
mod explain;
mod flags;
mod grant;
mod turn;

pub(crate) use self::acquire::{AcquireArgs, TryArgs, acquire, try_acquire};
pub(crate) use self::exec::{ExecArgs, ExecError, run as exec};
pub(crate) use self::explain::{ExplainArgs, run as explain};
