//! Being told to end: Ctrl-C, and SIGTERM where there is one.

use std::io;

/// The signals that ask a process to end, listened to since [`Signals::listen`].
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over from the system's default, which is to die at once.
    ///
    /// # Errors
    /// When the system refuses the registration.
    #[cfg(unix)]
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Takes Ctrl-C over from the system's default, which is to die at once.
    ///
    /// # Errors
    /// Never on this system.
    #[cfg(not(unix))]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Returns when the first of the signals comes.
    #[cfg(unix)]
    pub(crate) async fn asked_to_end(&mut self) {
        // Both arms only receive: cancelling either loses nothing that matters once one came.
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Returns on Ctrl-C.
    #[cfg(not(unix))]
    pub(crate) async fn asked_to_end(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
