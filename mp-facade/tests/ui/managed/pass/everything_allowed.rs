//! What `#[mp::managed]` allows, all at once, where every lint is on.

#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications
)]
#![deny(
    let_underscore_drop,
    single_use_lifetimes,
    unused_lifetimes,
    unused_results,
    unnameable_types
)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Display};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mp::Managed;
use serde::{Deserialize, Serialize};

/// Names that the expansion must not use.
#[allow(dead_code, non_camel_case_types)]
mod shadows {
    pub(super) struct Result;
    pub(super) struct Option;
    pub(super) struct Box;
    pub(super) struct Vec;
    pub(super) struct String;
    pub(super) struct str;
    pub(super) struct Some;
    pub(super) struct Ok;
    pub(super) struct Err;
    pub(super) struct Clone;
    pub(super) struct Proxy;
    pub(super) struct Call;
    pub(super) mod core {}
    pub(super) mod std {}
    pub(super) mod serde {}
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Config {
    name: String,
}

/// A type of that name that is not the one of `std`.
mod own {
    #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
    pub(super) struct Path(pub(super) u8);
}

/// An error that is not `mp::Error`.
#[derive(Debug, thiserror::Error)]
#[error("wrong")]
struct Wrong;

type Swapped<E, T> = Result<T, E>;

#[derive(Debug, Default)]
struct Counter {
    value: AtomicI64,
    label: String,
}

#[mp::managed(name = "shop.Counter")]
#[allow(clippy::needless_pass_by_value)]
impl Counter {
    const STEP: i64 = 1;
    /// Not the name of the type.
    pub const NAME: u8 = 1;

    /// Starts to count.
    pub fn new(
        start: i64,
        label: &str,
        steps: &[u8],
        config: &Config,
        mut factor: i64,
    ) -> mp::Result<Self> {
        factor += i64::try_from(steps.len())?;
        mp::ensure!(config.name != label, "named twice");
        Ok(Counter { value: AtomicI64::new(start * factor), label: label.to_owned() })
    }

    /// Counts from zero.
    pub fn from_zero<T: Into<String>>(label: T) -> Arc<Self> {
        Arc::new(Counter { label: label.into(), ..Counter::default() })
    }

    /// Adds.
    pub fn add(&self, n: i64) -> i64 {
        self.value.fetch_add(n, Ordering::Relaxed) + n
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// None.
    pub fn set(&mut self, mut n: i64) {
        n += Self::STEP - 1;
        *self.value.get_mut() = n;
    }

    pub fn documented_by_the_macro(&self, text: &str, bytes: &[u8], config: &Config) -> String {
        format!("{} {text} {bytes:?} {}", self.label, config.name)
    }

    /// Each kind of reference.
    pub fn references(
        &self,
        path: &std::path::Path,
        own: &own::Path,
        array: &[u8; 2],
        names: &[String],
        os: &'_ std::ffi::OsStr,
    ) -> (bool, usize) {
        (path.ends_with("b"), usize::from(own.0) + array.len() + names.len() + os.len())
    }

    /// Owned things.
    pub fn owned(
        &self,
        map: HashMap<String, Vec<Config>>,
        text: Cow<'static, str>,
        array: [u8; Self::STEP as usize],
    ) -> Option<Vec<String>> {
        Some(map.into_keys().chain([text.into_owned(), array.len().to_string()]).collect())
    }

    /// A child that stays in the server.
    pub fn child(&self) -> Managed<Counter> {
        mp::managed(Counter::default())
    }

    /// The same, or none.
    pub fn child_of_self(&self, other: &Managed<Self>) -> mp::Result<Option<Managed<Self>>> {
        Ok(Some(Clone::clone(other)))
    }

    /// An object of a type without a constructor.
    pub fn silent(&self) -> Managed<far::Silent> {
        mp::managed(far::Silent)
    }

    /// Fails.
    pub fn fail(&self, text: String) -> mp::Result<()> {
        mp::bail!("{text}")
    }

    /// Fails with errors of others.
    pub fn io(&self) -> io::Result<u8> {
        Err(io::Error::other("io"))
    }

    /// Fails with one that has no parameters.
    pub fn formats(&self) -> fmt::Result {
        Err(fmt::Error)
    }

    /// Fails with an own one.
    pub fn own_error(&self) -> Result<(), Wrong> {
        Err(Wrong)
    }

    /// A result under another name is a value.
    pub fn result_as_value(&self) -> Swapped<String, u8> {
        Ok(1)
    }

    /// Names of the expansion, and of what it expands to.
    pub fn names(&self, object: u8, method: u8, call: u8, result: u8, r#type: u8) -> u8 {
        object + method + call + result + r#type
    }

    /// Methods of the proxy.
    pub fn call(&self) -> u8 {
        1
    }

    /// As above.
    pub fn clone(&self, n: u8) -> u8 {
        n
    }

    /// As above.
    pub fn deref(&self) -> u8 {
        3
    }

    /// As above.
    pub fn id(&self) -> u8 {
        4
    }

    /// As above.
    pub fn fmt(&self) -> u8 {
        5
    }

    /// As above.
    pub fn serve(&self) -> u8 {
        6
    }

    /// As above.
    pub fn preview(&self) -> u8 {
        7
    }

    /// As above.
    pub fn serialize(&self) -> u8 {
        8
    }

    /// A keyword.
    pub fn r#match(self: &Self) -> u8 {
        9
    }

    /// As above.
    pub fn unwrap(self: &mut Self) -> u8 {
        10
    }

    /// Not there.
    #[cfg(any())]
    pub fn missing(&self, what: Missing) -> Missing {
        what
    }

    /// There once.
    #[cfg(not(all()))]
    pub fn twice(&self) -> u8 {
        1
    }

    /// There once.
    #[cfg(all())]
    #[cfg_attr(all(), doc = "More.")]
    pub fn twice(&self, n: u8) -> u8 {
        n
    }

    /// Attributes of all kinds.
    #[must_use = "it is all that it does"]
    #[inline]
    #[allow(non_snake_case, clippy::too_many_arguments)]
    #[expect(unused_variables, reason = "for the test")]
    pub fn Attributes(&self, A: u8, b: u8) -> u8 {
        A
    }

    /// Old.
    #[deprecated = "use `add`"]
    pub fn old(&self) -> u8 {
        1
    }

    /// Constant.
    pub const fn constant(&self) -> u8 {
        1
    }

    /// As many as there can be.
    #[rustfmt::skip]
    pub fn sixteen(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8, n: u8, o: u8, p: u8) -> u8 {
        a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p
    }

    /// Left out.
    #[managed(skip)]
    pub fn into_label<T: From<String>>(self) -> T {
        self.label.into()
    }

    /// Not public enough.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    async fn private(self, _: &mut u8) -> impl Display {
        self.label().to_owned()
    }
}

/// A type that cannot be shown, is not its block's neighbour, and has no constructor.
mod far {
    pub(super) struct Silent;
}

#[mp::managed]
impl far::Silent {
    /// One argument for `args`, which is free without `new`.
    pub fn args(&self, n: u8) -> u8 {
        n
    }
}

/// A type that has no methods.
struct Bare;

#[mp::managed]
impl Bare {
    /// Makes one.
    pub fn new() -> Self {
        Bare
    }
}

/// What a block is generated by.
macro_rules! counted {
    ($ty:ident, $field:ident, $argument:ty, $method:ident, $name:ident) => {
        #[derive(Debug)]
        struct $ty {
            $field: $argument,
        }

        #[mp::managed]
        impl $ty {
            /// Makes one.
            pub fn new($name: $argument) -> Self {
                $ty { $field: $name }
            }

            /// Gives it.
            pub fn $method(&self, plus: $argument, text: &$argument) -> $argument {
                self.$field + plus + *text
            }
        }
    };
}
counted!(Made, field, u8, method, name);

#[cfg(any())]
#[mp::managed]
impl Missing {
    /// Makes one.
    pub fn new() -> Self {}
}

#[mp::managed]
#[cfg(any())]
impl AlsoMissing {
    /// Makes one.
    pub fn new() -> Self {}
}

#[mp::main]
fn main() -> mp::Result<()> {
    #[derive(Debug)]
    struct Local;

    #[mp::managed]
    impl Local {
        pub fn new() -> Self {
            Local
        }

        pub fn here(&self) -> u8 {
            1
        }
    }

    let server = mp::ServerProcess::start()?;
    let config = Config { name: "config".to_owned() };

    let counter = server.create(Counter::args(1, "label", &[1, 2], &config, 3))?;
    assert_eq!(counter.type_name(), "shop.Counter");
    let refused = server.create(Counter::args(1, "config", &[], &config, 3)).unwrap_err();
    assert_eq!(refused.to_string(), "named twice");

    assert_eq!(counter.add(2)?, 7);
    counter.set(8)?;
    assert_eq!(counter.documented_by_the_macro("a", &[1], &config)?, "label a [1] config");
    let path = std::path::Path::new("a/b");
    let names = ["a".to_owned()];
    let references = counter.references(path, &own::Path(1), &[2, 3], &names, "abc".as_ref())?;
    assert_eq!(references, (true, 1 + 2 + 1 + 3));
    let owned = counter.owned([("a".to_owned(), vec![config])].into(), "b".into(), [0])?;
    assert_eq!(owned.unwrap_or_default(), ["a", "b", "1"]);

    let child: CounterProxy = counter.child()?;
    assert_eq!(counter.child_of_self(&child)?.as_ref(), Some(&child));
    assert_eq!(format!("{child}"), format!("{}", *child));

    assert_eq!(counter.fail("failed".to_owned()).unwrap_err().to_string(), "failed");
    assert_eq!(counter.io().unwrap_err().to_string(), "io");
    assert!(counter.formats().is_err());
    assert_eq!(counter.own_error().unwrap_err().to_string(), "wrong");
    assert_eq!(counter.result_as_value()?, Ok(1));

    assert_eq!(counter.names(1, 2, 3, 4, 5)?, 15);
    let named = [counter.call()?, counter.clone(2)?, counter.deref()?, counter.id()?];
    assert_eq!(named, [1, 2, 3, 4]);
    let named = [counter.fmt()?, counter.serve()?, counter.preview()?, counter.serialize()?];
    assert_eq!(named, [5, 6, 7, 8]);
    assert_eq!((counter.r#match()?, counter.unwrap()?, counter.twice(1)?), (9, 10, 1));
    assert_eq!((counter.Attributes(1, 2)?, counter.constant()?), (1, 1));
    #[allow(deprecated)]
    let old = counter.old()?;
    assert_eq!(old, 1);
    assert_eq!(counter.sixteen(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)?, 16);

    assert_eq!(server.create(Made::args(1))?.method(2, &3)?, 6);
    assert_eq!(server.create(Local::args())?.here()?, 1);
    let bare: BareProxy = server.create(Bare::args())?;
    assert_eq!(bare.to_string(), "Bare");
    assert_eq!(counter.silent()?.args(1)?, 1);

    let here = Counter::from_zero("here");
    assert_eq!((here.label(), Counter::NAME), ("here", 1));
    drop(Arc::into_inner(here).unwrap_or_default().private(&mut 0));
    assert_eq!(Counter::default().into_label::<String>(), "");
    Ok(())
}
