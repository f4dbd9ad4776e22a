//! The types that a server can make objects of, by name.
//!
//! `#[mp::managed]` enters a type at compile time, so every process of a program knows the same ones, and nothing has to
//! be registered at run time.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::error::ManagerError;
use crate::hosted::{Call, Failure, Hosted};

/// A type with a constructor.
#[derive(Debug)]
pub struct Registered {
    /// What it is called.
    pub name: &'static str,
    /// Where in the program it stands.
    pub place: &'static str,
    /// Makes an object from the arguments of a call.
    pub create: fn(&Call<'_>) -> Result<Box<dyn Hosted>, Failure>,
}

inventory::collect!(Registered);

type Types = HashMap<&'static str, &'static Registered>;

/// All types of this program.
///
/// # Errors
///
/// [`ManagerError::DuplicateType`] for two with one name.
pub(crate) fn types() -> Result<&'static Types, ManagerError> {
    static TYPES: OnceLock<Result<Types, ManagerError>> = OnceLock::new();
    TYPES.get_or_init(collect).as_ref().map_err(Clone::clone)
}

fn collect() -> Result<Types, ManagerError> {
    let mut types = Types::new();
    for entry in inventory::iter::<Registered> {
        if let Some(other) = types.insert(entry.name, entry) {
            let (mut first, mut second) = (other.place.to_owned(), entry.place.to_owned());
            if second < first {
                std::mem::swap(&mut first, &mut second);
            }
            return Err(ManagerError::DuplicateType { name: entry.name.to_owned(), first, second });
        }
    }
    Ok(types)
}
