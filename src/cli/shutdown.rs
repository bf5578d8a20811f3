//! Being told to end: Ctrl-C, SIGTERM where there is one, and for the processes of another the end of their standard input.

use std::io::{self, Read as _};

use tokio::sync::oneshot;

/// What asks a process to end, listened to since [`Signals::listen`].
#[derive(Debug)]
pub(crate) struct Signals {
    input: Option<oneshot::Receiver<()>>,
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
        Ok(Self { input: None, interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Takes Ctrl-C over from the system's default, which is to die at once.
    ///
    /// # Errors
    /// Never on this system.
    #[cfg(not(unix))]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { input: None })
    }

    /// Takes the end of standard input for such a signal, too: so a process ends with its parent, however that ended.
    ///
    /// # Errors
    /// When there is no thread to read it.
    pub(crate) fn and_input(self) -> io::Result<Self> {
        let (sender, ended) = oneshot::channel();
        // A thread of its own, never joined: a blocking read can't be interrupted, and one on the runtime would keep it from ending.
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            let mut stdin = io::stdin().lock();
            let mut ignored = [0; 256];
            while stdin.read(&mut ignored).is_ok_and(|read| read > 0) {}
            sender.send(()).ok();
        })?;
        Ok(Self { input: Some(ended), ..self })
    }

    /// Returns when the first of them comes. Cancel-safe.
    #[cfg(unix)]
    pub(crate) async fn asked_to_end(&mut self) {
        let Self { input, interrupt, terminate } = self;
        // All arms only receive: cancelling one loses nothing that matters once another came.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = ended(input) => {}
        }
    }

    /// The next signal, for who passes it on. Cancel-safe.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> rustix::process::Signal {
        let Self { interrupt, terminate, .. } = self;
        // Both arms only receive, as above.
        tokio::select! {
            _ = interrupt.recv() => rustix::process::Signal::INT,
            _ = terminate.recv() => rustix::process::Signal::TERM,
        }
    }

    /// Returns when the first of them comes. Cancel-safe.
    #[cfg(not(unix))]
    pub(crate) async fn asked_to_end(&mut self) {
        tokio::select! {
            Ok(()) = tokio::signal::ctrl_c() => {}
            () = ended(&mut self.input) => {}
            else => std::future::pending().await,
        }
    }
}

/// Returns when the input has ended, if it is read at all.
async fn ended(input: &mut Option<oneshot::Receiver<()>>) {
    match input {
        // Both a message and a dropped sender mean that the reader is done.
        Some(ended) => drop(ended.await),
        None => std::future::pending().await,
    }
}
