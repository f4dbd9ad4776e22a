//! An array in a server, and [`ArrayProxy`]: a list that neither grows nor shrinks.

use std::ops::RangeBounds;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::error::ManagerError;
use crate::host::Host;
use crate::hosted::{Hosted, Reply};
use crate::list::object::ListObject;
use crate::list::{ListIter, bounds};
use crate::manager::Manager;
use crate::payload::Payload;
use crate::proxy::{Proxy, TypedProxy};
use crate::registry::Registered;
use crate::typed::{encode_here, typed_proxy};

inventory::submit! {
    Registered {
        name: "array",
        place: concat!(file!(), ":", line!()),
        create: |call| Ok(Box::new(ArrayObject(ListObject::new(call.items()?)))),
    }
}

/// An array as its server keeps it.
#[derive(Debug)]
struct ArrayObject(ListObject);

impl Hosted for ArrayObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "get" | "set" | "len" | "slice" => self.0.serve(method, call),
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        "array"
    }

    fn preview(&self) -> String {
        self.0.preview()
    }

    fn contents(&self, visit: &mut dyn FnMut(&Payload)) {
        self.0.contents(visit);
    }

    fn clear(&self) {
        Hosted::clear(&self.0);
    }
}

/// Has an array live in this process, if it is a server, and gives a proxy to it, to be returned from a method, or put into
/// what is returned, or kept.
///
/// # Panics
///
/// When an item cannot be encoded: in a method that is the error of its caller.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// struct Screen;
///
/// #[mp::managed]
/// impl Screen {
///     pub fn new() -> Self {
///         Screen
///     }
///     pub fn pixels(&self, count: usize) -> mp::ArrayProxy<u8> {
///         mp::managed_array(vec![0; count])
///     }
/// }
///
/// let server = mp::ServerProcess::start()?;
/// let pixels = server.create(Screen::args())?.pixels(3)?;
/// pixels.set(-1, 255)?;
/// assert_eq!(pixels.to_vec()?, [0, 0, 255]);
/// # Ok::<(), mp::Error>(())
/// ```
pub fn managed_array<T>(items: impl IntoIterator<Item = T>) -> ArrayProxy<T>
where
    T: Serialize + 'static,
{
    let items = items.into_iter().map(|item| encode_here(&item)).collect();
    let object = ArrayObject(ListObject::new(items));
    ArrayProxy::from_proxy(Proxy::of(Host::here().add(Box::new(object))))
}

impl Manager {
    /// Makes an array of these items.
    ///
    /// # Errors
    ///
    /// As any call of the server; [`ManagerError::Encode`] when an item cannot be encoded.
    pub fn array<T: Serialize + 'static>(
        &self,
        items: &[T],
    ) -> Result<ArrayProxy<T>, ManagerError> {
        self.handle().create(self.handle().pack(items)?)
    }
}

typed_proxy! {
    /// An array that lives in a server: as many items as it was made with, which can be read and set. An index below zero
    /// counts from the end.
    ///
    /// Items are kept encoded; what is got is a copy.
    ///
    /// # When a process dies
    ///
    /// With the server the array is gone: calls fail with [`ManagerError::Disconnected`].
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let array = manager.array(&[1.5, 2.5, 3.5])?;
    /// let p = mp::Process::start(
    ///     |array: mp::ArrayProxy<f64>| Ok(array.set(0, 0.5)?),
    ///     (array.clone(),),
    /// )?;
    /// p.join()?;
    /// assert_eq!(array.slice(..2)?, [0.5, 2.5]);
    /// # Ok::<(), mp::Error>(())
    /// ```
    ///
    /// # Differences from Python
    ///
    /// There is no type code: items are of any type. For numbers that many processes read and write,
    /// `mp::Array` in shared memory is some hundred times faster.
    #[doc(alias = "multiprocessing.managers.ArrayProxy")]
    pub struct ArrayProxy<T> = "array";
}

impl<T: Serialize + DeserializeOwned + 'static> ArrayProxy<T> {
    /// The item at a place.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Index`] if there is none, and as any call.
    pub fn get(&self, index: isize) -> Result<T, ManagerError> {
        self.0.call("get", &(index,))
    }

    /// Puts an item in the place of another.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Index`] if there is none, [`ManagerError::Encode`] when the item cannot be encoded, and as any call.
    pub fn set(&self, index: isize, item: T) -> Result<(), ManagerError> {
        self.0.tell("set", self.0.encode(&item)?.with_number(index as i64))
    }

    /// How many items there are; it never changes.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn len(&self) -> Result<usize, ManagerError> {
        self.0.call("len", &())
    }

    /// Whether there is no item.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn is_empty(&self) -> Result<bool, ManagerError> {
        Ok(self.len()? == 0)
    }

    /// All items, as they are at one time.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn to_vec(&self) -> Result<Vec<T>, ManagerError> {
        self.slice(..)
    }

    /// The items of a range, as they are at one time; `slice(-2..)` are the last two. What is beyond an end is left out.
    ///
    /// # Errors
    ///
    /// As any call.
    pub fn slice(&self, range: impl RangeBounds<isize>) -> Result<Vec<T>, ManagerError> {
        self.0.ask_all("slice", self.0.encode(&bounds(&range))?)
    }

    /// The items one after the other, each as it is when its turn comes.
    pub fn iter(&self) -> ListIter<'_, T> {
        ListIter::new(&self.0)
    }
}

impl<'a, T: Serialize + DeserializeOwned + 'static> IntoIterator for &'a ArrayProxy<T> {
    type Item = Result<T, ManagerError>;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}
