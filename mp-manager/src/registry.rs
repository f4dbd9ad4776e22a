//! The types that a server can make objects of, by name.
//!
//! `#[mp::managed]` enters a type at compile time, so every process of a program knows the same ones, and nothing has to
//! be registered at run time.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::call::Call;
use crate::error::ManagerError;
use crate::failure::Failure;
use crate::hosted::Hosted;

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

/// A type without a constructor, whose objects come from methods of others.
#[derive(Debug)]
pub struct Named {
    /// What it is called.
    pub name: &'static str,
    /// Where in the program it stands.
    pub place: &'static str,
}

inventory::collect!(Named);

type Types = HashMap<&'static str, &'static Registered>;

/// All types of this program that have a constructor.
///
/// # Errors
///
/// [`ManagerError::DuplicateType`] for two with one name.
pub(crate) fn types() -> Result<&'static Types, ManagerError> {
    static TYPES: OnceLock<Result<Types, ManagerError>> = OnceLock::new();
    TYPES.get_or_init(collect).as_ref().map_err(Clone::clone)
}

fn collect() -> Result<Types, ManagerError> {
    let (mut types, mut places) = (Types::new(), HashMap::new());
    let registered = inventory::iter::<Registered>.into_iter();
    for entry in registered {
        check(&mut places, entry.name, entry.place)?;
        types.insert(entry.name, entry);
    }
    for Named { name, place } in inventory::iter::<Named> {
        check(&mut places, name, place)?;
    }
    Ok(types)
}

/// Sees that no other type has the name.
fn check(
    places: &mut HashMap<&str, &str>,
    name: &'static str,
    place: &'static str,
) -> Result<(), ManagerError> {
    let Some(other) = places.insert(name, place) else { return Ok(()) };
    let (first, second) = (other.min(place).to_owned(), other.max(place).to_owned());
    Err(ManagerError::DuplicateType { name: name.to_owned(), first, second })
}
