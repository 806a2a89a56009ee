//! Waiting in a plain thread for what the store answers.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Lets this thread sleep until the future is done.
///
/// Only for what others bring to its end: answers and places in a queue. Sockets and timers of a
/// runtime would never wake it.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Sleeper(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // A wake between the poll and here is kept: it does not sleep then.
            Poll::Pending => thread::park(),
        }
    }
}

struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_thread_wakes_when_the_answer_comes() {
        assert_eq!(wait(async { 5 }), 5);
        let (sender, receiver) = oneshot::channel();
        let waiting = thread::spawn(move || wait(receiver));
        sender.send(7).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(7));
        let (sender, receiver) = oneshot::channel::<()>();
        let waiting = thread::spawn(move || wait(receiver));
        drop(sender);
        assert!(waiting.join().unwrap().is_err());
    }
}
