//! Values with names in a server, and [`NamespaceProxy`].

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::mem;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::error::ManagerError;
use crate::failure::{Failure, Refusal};
use crate::host::Host;
use crate::hosted::{Hosted, Reply};
use crate::manager::Manager;
use crate::payload::{Item, Payload};
use crate::preview::{self, Preview};
use crate::proxy::{Proxy, TypedProxy};
use crate::registry::Registered;
use crate::typed::typed_proxy;

inventory::submit! {
    Registered {
        name: "namespace",
        place: concat!(file!(), ":", line!()),
        create: |_| Ok(Box::new(NamespaceObject::default())),
    }
}

/// A namespace as its server keeps it.
#[derive(Debug, Default)]
struct NamespaceObject(Mutex<BTreeMap<String, Item>>);

impl NamespaceObject {
    fn set(&self, call: &Call<'_>) -> Reply {
        let [name, value] = call.parts()?;
        let name: String = name.decode().map_err(|error| Failure::Arguments(error.to_string()))?;
        let value = value.to_item()?;
        let before = self.0.lock().insert(name, value);
        drop(before);
        Ok(Payload::default())
    }

    fn get(&self, call: &Call<'_>) -> Reply {
        let (name,) = call.args::<(String,)>()?;
        let value = self.0.lock().get(&name).map(Item::to_payload);
        value.ok_or_else(|| missing(&name))
    }

    fn delete(&self, call: &Call<'_>) -> Reply {
        let (name,) = call.args::<(String,)>()?;
        let value = self.0.lock().remove(&name);
        value.map(|_value| Payload::default()).ok_or_else(|| missing(&name))
    }
}

fn missing(name: &str) -> Failure {
    Refusal::Missing { key: format!("attribute '{name}'") }.into()
}

fn is_shown(name: &str) -> bool {
    !name.starts_with('_')
}

impl Hosted for NamespaceObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "set" => self.set(call),
            "get" => self.get(call),
            "delete" => self.delete(call),
            "contains" => {
                let (name,) = call.args::<(String,)>()?;
                call.reply(&self.0.lock().contains_key(&name))
            }
            "names" => {
                let names = self.0.lock();
                let shown: Vec<&str> =
                    names.keys().map(String::as_str).filter(|name| is_shown(name)).collect();
                call.reply(&shown)
            }
            _ => call.unknown_method(self.type_name()),
        }
    }

    fn type_name(&self) -> &'static str {
        "namespace"
    }

    fn preview(&self) -> String {
        let values = self.0.lock();
        preview::text(|text| show(text, &values))
    }

    fn contents(&self, visit: &mut dyn FnMut(&Payload)) {
        self.0.lock().values().filter_map(Item::full).for_each(visit);
    }

    fn clear(&self) {
        let values = mem::take(&mut *self.0.lock());
        drop(values);
    }
}

fn show(text: &mut Preview, values: &BTreeMap<String, Item>) -> fmt::Result {
    text.write_str("Namespace(")?;
    let shown = values.iter().filter(|(name, _)| is_shown(name));
    for (index, (name, value)) in shown.enumerate() {
        text.separate(index)?;
        write!(text, "{name}=")?;
        text.value(value.as_ref())?;
    }
    text.write_str(")")
}

/// Has an empty namespace live in this process, if it is a server, and gives a proxy to it, to be returned from a method,
/// or put into what is returned, or kept.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// struct Setup;
///
/// #[mp::managed]
/// impl Setup {
///     pub fn new() -> Self {
///         Setup
///     }
///     pub fn options(&self) -> mp::Result<mp::NamespaceProxy> {
///         let options = mp::managed_namespace();
///         options.set("verbose", &true)?;
///         Ok(options)
///     }
/// }
///
/// let server = mp::ServerProcess::start()?;
/// let options = server.create(Setup::args())?.options()?;
/// assert!(options.get::<bool>("verbose")?);
/// # Ok::<(), mp::Error>(())
/// ```
pub fn managed_namespace() -> NamespaceProxy {
    let object = NamespaceObject::default();
    NamespaceProxy::from_proxy(Proxy::of(Host::here().add(Box::new(object))))
}

impl Manager {
    /// Makes an empty namespace.
    ///
    /// # Errors
    ///
    /// As any call of the server.
    #[doc(alias = "Namespace")]
    pub fn namespace(&self) -> Result<NamespaceProxy, ManagerError> {
        self.handle().create(Payload::default())
    }
}

typed_proxy! {
    /// Values of any types with names, which live in a server.
    ///
    /// They are kept encoded; what is got is a copy. A proxy or another handle among them stays what it is, and its object
    /// lives as long as it is there.
    ///
    /// # When a process dies
    ///
    /// With the server the namespace is gone: calls fail with [`ManagerError::Disconnected`].
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let namespace = manager.namespace()?;
    /// namespace.set("name", "Bob")?;
    /// namespace.set("job", &["Builder"])?;
    /// namespace.set("_hidden", &1)?;
    /// let p = mp::Process::start(
    ///     |namespace: mp::NamespaceProxy| Ok(namespace.delete("job")?),
    ///     (namespace.clone(),),
    /// )?;
    /// p.join()?;
    /// assert_eq!(namespace.get::<String>("name")?, "Bob");
    /// assert_eq!(namespace.to_string(), "Namespace(name='Bob')");
    /// # Ok::<(), mp::Error>(())
    /// ```
    ///
    /// # Differences from Python
    ///
    /// Attributes are set and got by methods, and whoever gets one says of which type it is.
    #[doc(alias = "multiprocessing.managers.NamespaceProxy")]
    pub struct NamespaceProxy = "namespace";
}

impl NamespaceProxy {
    /// Gives a name to a value, in the place of the one that had it.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Encode`] when it cannot be encoded, and as any call.
    #[doc(alias = "setattr")]
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), ManagerError> {
        self.0.tell("set", self.0.pack_pairs([(name, value)])?)
    }

    /// The value of a name.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Missing`] if there is none, [`ManagerError::Decode`] when it is none of this type, and as any call.
    #[doc(alias = "getattr")]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, ManagerError> {
        self.0.call("get", &(name,))
    }

    /// Removes a name with its value.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Missing`] if there is none, and as any call.
    #[doc(alias = "delattr")]
    pub fn delete(&self, name: &str) -> Result<(), ManagerError> {
        self.0.tell("delete", self.0.encode(&(name,))?)
    }

    /// Whether there is a value of this name.
    ///
    /// # Errors
    ///
    /// As any call.
    #[doc(alias = "hasattr")]
    pub fn contains(&self, name: &str) -> Result<bool, ManagerError> {
        self.0.call("contains", &(name,))
    }

    /// All names but those that begin with an underscore, sorted.
    ///
    /// # Errors
    ///
    /// As any call.
    #[doc(alias = "dir")]
    pub fn names(&self) -> Result<Vec<String>, ManagerError> {
        self.0.call("names", &())
    }
}
