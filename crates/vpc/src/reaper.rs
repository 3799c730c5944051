//! What is slow about taking an interface away, on a thread of its own.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::namespace::{Namespace, unbind};
use crate::net::{Rtnl, request};

/// Detaches that find the queue this long do the work themselves.
const QUEUE: usize = 1024;

/// An interface whose route is gone already.
pub struct Remains {
    /// The task's namespace.
    pub file: PathBuf,
    pub vpc: Arc<Namespace>,
    /// The VPC's end.
    pub index: u32,
}

impl Remains {
    pub fn remove(&self) -> io::Result<()> {
        unbind(&self.file)?;
        // The namespace would take its link along, but a process may still be in it.
        self.vpc.enter(|| Rtnl::open()?.run(&[request::delete_link(self.index)]))
    }
}

pub struct Reaper {
    queue: Option<SyncSender<Remains>>,
    thread: Option<JoinHandle<()>>,
}

impl Reaper {
    pub fn start() -> io::Result<Self> {
        let (queue, remains) = sync_channel::<Remains>(QUEUE);
        let body = move || remains.iter().for_each(|one| remove(&one));
        let thread = thread::Builder::new().name("vpc-reaper".into()).spawn(body)?;
        Ok(Reaper { queue: Some(queue), thread: Some(thread) })
    }

    pub fn take(&self, remains: Remains) {
        let Some(queue) = &self.queue else { return remove(&remains) };
        match queue.try_send(remains) {
            Ok(()) => {}
            Err(TrySendError::Full(remains) | TrySendError::Disconnected(remains)) => remove(&remains),
        }
    }

    /// Waits until everything handed over so far is gone, and goes on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.finish();
        *self = Reaper::start()?;
        Ok(())
    }

    /// Waits until everything handed over so far is gone, and ends.
    pub fn finish(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.finish();
    }
}

fn remove(remains: &Remains) {
    if let Err(error) = remains.remove() {
        tracing::warn!(%error, netns = %remains.file.display(), "an interface is not wholly gone");
    }
}
