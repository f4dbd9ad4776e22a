//! Which queues this thread is just getting from: items are decoded meanwhile, and their code must not get from
//! the same queue, for it would wait for itself.

use std::cell::RefCell;

use crate::error::QueueError;

thread_local! {
    /// The addresses of their shared state.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// This thread is getting from a queue, until this is dropped.
#[derive(Debug)]
pub(crate) struct Inside(());

impl Inside {
    /// Notes it; an error if it was noted.
    pub(crate) fn enter(queue: usize) -> Result<Inside, QueueError> {
        // A thread that ends has no notes; then nothing is being decoded in it either.
        let is_new = INSIDE.try_with(|inside| {
            let mut inside = inside.borrow_mut();
            let is_new = !inside.contains(&queue);
            inside.push(queue);
            is_new
        });
        let inside = Inside(());
        if is_new.unwrap_or(true) { Ok(inside) } else { Err(QueueError::Reentrant) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _no_notes_any_more = INSIDE.try_with(|inside| inside.borrow_mut().pop());
    }
}
