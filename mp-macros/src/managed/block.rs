//! An `impl` block as it was written: whose methods can be called from other processes, and which.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt;
use syn::{FnArg, ImplItem, ImplItemFn, ItemImpl, Path, Type, Visibility};

use super::attributes::{conditions, take_skip};
use super::method::{Constructor, Method};
use super::types::bare;
use super::{Errors, ours};

/// What is to be made of a block.
#[derive(Debug)]
pub(super) struct Block {
    /// The type, without parameters.
    pub(super) object: TokenStream,
    ident: Ident,
    /// The conditions under which the block is there.
    pub(super) conditions: Vec<TokenStream>,
    /// More than one if they are there under different conditions.
    pub(super) constructors: Vec<Constructor>,
    pub(super) methods: Vec<Method>,
}

impl Block {
    /// Reads a block and takes the attributes that are for this macro out of it. Functions that are wrong are
    /// missing, and in `errors`; nothing if the whole block is.
    pub(super) fn read(block: &mut ItemImpl, errors: &mut Errors) -> Option<Block> {
        let kept = kept_functions(block, errors);
        let object = object_of(block, errors)?;
        let ident = ours(&object.segments.last()?.ident);
        let (mut constructors, mut methods) = (Vec::new(), Vec::new());
        for function in &kept {
            if let Some(FnArg::Receiver(_)) = function.sig.inputs.first() {
                methods.extend(Method::read(function, &object, errors));
            } else if function.sig.ident == "new" {
                constructors.extend(Constructor::read(function, &object, errors));
            }
        }
        if !constructors.is_empty() && has_args(block, errors) {
            constructors.clear();
        }
        let conditions = conditions(&block.attrs);
        Some(Block { object: object.to_token_stream(), ident, conditions, constructors, methods })
    }

    /// The last name of the type.
    pub(super) fn ident(&self) -> &Ident {
        &self.ident
    }

    /// What the type is called, if nothing else is said.
    pub(super) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// What its proxy is called.
    pub(super) fn proxy(&self) -> Ident {
        format_ident!("{}Proxy", self.ident.unraw(), span = self.ident.span())
    }
}

/// The public functions, without those that are skipped.
fn kept_functions(block: &mut ItemImpl, errors: &mut Errors) -> Vec<ImplItemFn> {
    let mut kept = Vec::new();
    for item in &mut block.items {
        if let ImplItem::Fn(function) = item {
            let is_skipped = take_skip(&mut function.attrs, errors);
            let is_public = matches!(function.vis, Visibility::Public(_));
            if is_public && !is_skipped {
                kept.push(function.clone());
            }
        }
    }
    kept
}

/// The type of a block that can be managed.
fn object_of(block: &ItemImpl, errors: &mut Errors) -> Option<Path> {
    if let Some((_, of, _)) = &block.trait_ {
        errors.push(
            of,
            "`#[mp::managed]` goes on a block without a trait: proxies have the methods of `impl Type { … }`",
        );
        return None;
    }
    let parameters = "a server knows a type by its name, so the type cannot have parameters: wrap the one that is \
                      needed in a `struct` of its own";
    if !block.generics.params.is_empty() {
        errors.push(&block.generics, parameters);
        return None;
    }
    if let Some(clause) = &block.generics.where_clause {
        errors.push(clause, parameters);
        return None;
    }
    let path = match bare(&block.self_ty) {
        Type::Path(path) if path.qself.is_none() => &path.path,
        other => {
            errors.push(
                other,
                "`#[mp::managed]` goes on the `impl` block of a `struct` or an `enum`, whose name the proxy gets",
            );
            return None;
        }
    };
    if let Some(segment) = path.segments.iter().find(|segment| !segment.arguments.is_none()) {
        errors.push(&segment.arguments, parameters);
        return None;
    }
    Some(path.clone())
}

/// Whether there is a function `args` already, which is a mistake beside `new`.
fn has_args(block: &ItemImpl, errors: &mut Errors) -> bool {
    let mut names = block.items.iter().filter_map(|item| match item {
        ImplItem::Fn(function) => Some(&function.sig.ident),
        ImplItem::Const(constant) => Some(&constant.ident),
        _ => None,
    });
    let args = names.find(|name| *name == "args");
    if let Some(args) = args {
        errors.push(
            args,
            "`args` is what `#[mp::managed]` makes of `new`, for the `create` of a server: call this one \
             something else",
        );
    }
    args.is_some()
}

#[cfg(test)]
mod tests {
    use syn::parse_str;

    use super::*;

    /// What was read and what is left of the block, or the number of errors.
    fn read(written: &str) -> Result<(Block, String), usize> {
        let mut block = parse_str(written).unwrap();
        let mut errors = Errors::default();
        let read = Block::read(&mut block, &mut errors);
        match errors.count() {
            0 => Ok((read.unwrap(), block.to_token_stream().to_string())),
            wrong => Err(wrong),
        }
    }

    #[test]
    fn public_functions_with_a_receiver_and_new_are_exposed() {
        let (read, left) = read(
            "impl shop::Counter {
                pub const MOST: u8 = 4;
                pub fn new() -> Self {}
                pub fn with(n: u8) -> Self {}
                pub fn a(&self) {}
                pub(crate) fn b(&self) {}
                fn c<T>(self) {}
                #[managed(skip)]
                pub fn d(self) {}
                pub fn e(&mut self) {}
            }",
        )
        .unwrap();
        let methods: Vec<_> = read.methods.iter().map(Method::name).collect();
        assert_eq!(methods, ["a", "e"]);
        assert_eq!(read.constructors.len(), 1);
        assert_eq!(
            (read.name(), read.proxy().to_string().as_str()),
            ("Counter".to_owned(), "CounterProxy")
        );
        assert!(!left.contains("managed"));
    }

    #[test]
    fn a_skipped_new_is_no_constructor() {
        let (read, _) = read(
            "impl Counter { #[managed(skip)] pub fn new() -> Arc<Self> {} pub fn args(&self) {} }",
        )
        .unwrap();
        assert_eq!((read.constructors.len(), read.methods.len()), (0, 1));
    }

    #[test]
    fn there_is_a_constructor_for_each_condition() {
        let (read, _) = read(
            "impl Counter {
                #[cfg(unix)] pub fn new() -> Self {}
                #[cfg(not(unix))] pub fn new(n: u8) -> Self {}
            }",
        )
        .unwrap();
        assert_eq!(read.constructors.len(), 2);
    }

    #[test]
    fn blocks_of_other_kinds_are_refused() {
        for written in [
            "impl Clone for Counter {}",
            "impl<T> Counter<T> {}",
            "impl Counter<u8> {}",
            "impl Counter where u8: Copy {}",
            "impl dyn Count {}",
            "impl [Counter] {}",
            "impl <Counter as Has>::One {}",
        ] {
            assert_eq!(read(written).unwrap_err(), 1, "{written}");
        }
    }

    #[test]
    fn the_mistakes_of_all_functions_are_told() {
        let wrong = read(
            "impl Counter {
                pub fn new() {}
                pub async fn a(&self) {}
                pub fn b(&self) {}
                #[managed(hide)]
                pub fn c(self) {}
            }",
        );
        assert_eq!(wrong.unwrap_err(), 3);
    }

    #[test]
    fn args_is_refused_beside_new() {
        let wrong = read("impl Counter { pub fn new() -> Self {} fn args() {} }");
        assert_eq!(wrong.unwrap_err(), 1);
    }
}
