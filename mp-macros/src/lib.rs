#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod main_attribute;
mod managed;

use proc_macro::TokenStream;
use syn::{Error, ItemFn, parse_macro_input};

/// Makes `mp::init();` the first line of `main`, so that the program can start processes, and has
/// its end wait for them.
///
/// ```ignore
/// #[mp::main]
/// fn main() -> mp::Result<()> {
///     let p = mp::Process::start(|n: u64| Ok(n * n), (12,))?;
///     println!("{}", p.into_result()?);
///     Ok(())
/// }
/// ```
///
/// An `async fn main` is refused: put the attribute of the runtime on a function that `main` calls.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    main_attribute::expand(&arguments.into(), function)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

/// Has objects of a type live in a server process, called from any other through a proxy.
///
/// ```ignore
/// #[mp::managed]
/// impl Counter {
///     pub fn new(start: i64) -> Self {
///         Counter { value: AtomicI64::new(start) }
///     }
///
///     /// Adds to the counter.
///     pub fn add(&self, n: i64) -> i64 {
///         self.value.fetch_add(n, Relaxed) + n
///     }
/// }
///
/// let server = mp::ServerProcess::start()?;
/// let counter: CounterProxy = server.create(Counter::args(5))?;
/// assert_eq!(counter.add(3)?, 8);
/// ```
///
/// The block stays what it is, and besides there are:
///
/// - `CounterProxy`, which each process can have. Every method of the block that is `pub` and takes
///   `&self` or `&mut self` is a method of it, with the same arguments, and its result in a
///   `Result<_, mp::ManagerError>`. Methods with `&self` run at the same time, those with `&mut self`
///   alone. Where a method returns a `Result<T, E>` itself, that of the proxy returns
///   `Result<T, mp::ManagerError>`: an error arrives as `mp::ManagerError::Exception`.
/// - `Counter::args`, which takes what `pub fn new` takes: the arguments for the `create` of a server. The
///   object is made in the server. `new` returns `Self`, or a `Result` of it. Without a `pub fn new` the
///   objects of the type are those that methods of others return.
///
/// Arguments and results are sent, so they implement `Serialize` and `Deserialize`. An argument can be a
/// reference (`&str`, `&[T]`, `&Path`, `&T`): what it refers to is sent. An object that is to stay in the
/// server is returned as `mp::Managed<T>`. The type itself is `Send + Sync`, for each caller has a thread
/// in the server.
///
/// A server knows the type by its name, here `Counter`; `#[mp::managed(name = "shop.Counter")]` gives
/// another to one of two types with the same. `#[managed(skip)]` on a method leaves it out of the proxy. What
/// cannot be called from another process is refused: methods that are generic, `async`, `unsafe` or `extern`,
/// that take `self` by value or return something borrowed.
#[proc_macro_attribute]
pub fn managed(arguments: TokenStream, item: TokenStream) -> TokenStream {
    managed::expand(arguments.into(), item.into()).into()
}
