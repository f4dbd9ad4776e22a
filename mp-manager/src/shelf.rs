//! [`Shelf`]: an object of a user's type in its server: which of its methods run at the same time, and which calls of it from
//! inside of it are refused.
//!
//! What the methods are, and which is of which kind, the code knows that `#[mp::managed]` writes: [`Manageable`].

use std::cell::RefCell;

use mp_context::__private::__mp_begin_short_backtrace;
use parking_lot::RwLock;

use crate::call::Call;
use crate::failure::Failure;
use crate::hosted::{Hosted, Reply};
use crate::managed::Manageable;

/// An object of a user's type: `&self` methods run at the same time, `&mut self` methods alone.
#[derive(Debug)]
pub struct Shelf<T>(RwLock<T>);

thread_local! {
    /// The objects whose methods this thread is in, and whether exclusively.
    static INSIDE: RefCell<Vec<(usize, bool)>> = const { RefCell::new(Vec::new()) };
}

/// This thread is in a method of an object, until this is dropped.
struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        let _left = INSIDE.try_with(|all| all.borrow_mut().pop());
    }
}

impl<T: Manageable> Shelf<T> {
    /// Puts an object on it.
    pub fn new(object: T) -> Shelf<T> {
        Shelf(RwLock::new(object))
    }

    /// Runs a `&self` method, at the same time as others.
    ///
    /// # Errors
    ///
    /// That this thread is in a `&mut self` method of the same object.
    pub fn shared<R>(&self, method: impl FnOnce(&T) -> R) -> Result<R, Failure> {
        let before = self.inside();
        if before == Some(true) {
            return Err(Failure::Reentrant { type_name: T::NAME.to_owned() });
        }
        // Who has the lock already must not queue behind a writer that waits for it.
        let object = if before.is_some() { self.0.read_recursive() } else { self.0.read() };
        let _inside = self.enter(false);
        Ok(__mp_begin_short_backtrace(|| method(&object)))
    }

    /// Runs a `&mut self` method, when no other method runs.
    ///
    /// # Errors
    ///
    /// That this thread is in a method of the same object.
    pub fn exclusive<R>(&self, method: impl FnOnce(&mut T) -> R) -> Result<R, Failure> {
        if self.inside().is_some() {
            return Err(Failure::Reentrant { type_name: T::NAME.to_owned() });
        }
        let mut object = self.0.write();
        let _inside = self.enter(true);
        Ok(__mp_begin_short_backtrace(|| method(&mut object)))
    }

    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether this thread is in a method of this object, and if so, whether in an exclusive one.
    fn inside(&self) -> Option<bool> {
        let place = self.place();
        // In the last destructors of a thread nothing is known.
        let found = INSIDE.try_with(|all| {
            let all = all.borrow();
            let mut of_this = all.iter().filter(|(known, _)| *known == place);
            of_this.next().map(|_| all.contains(&(place, true)))
        });
        found.ok().flatten()
    }

    fn enter(&self, is_exclusive: bool) -> Inside {
        let _noted = INSIDE.try_with(|all| all.borrow_mut().push((self.place(), is_exclusive)));
        Inside
    }
}

impl<T: Manageable> Hosted for Shelf<T> {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        T::serve(self, method, call)
    }

    fn type_name(&self) -> &'static str {
        T::NAME
    }

    fn has_destructor(&self) -> bool {
        true
    }

    fn preview(&self) -> String {
        let text = match self.0.try_read() {
            Some(object) => object.preview(),
            None => Some("(busy)".to_owned()),
        };
        text.unwrap_or_else(|| T::NAME.to_owned())
    }
}
