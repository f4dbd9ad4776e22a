//! The arguments of a method: as its caller writes them, and as they arrive in the server.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{FnArg, Pat, PatType, Path, Signature, Type};

use super::types::{Place, bare, refuse_what_stays, without_self};
use super::{Errors, ours, place_of};

/// A tuple of more has no serde implementation.
const MOST: usize = 16;

/// The types that have an owner of another name: `&str` arrives as `String`. The name may be that of another
/// type, so which owner is for the compiler to find.
const BORROWED: [&str; 4] = ["str", "Path", "OsStr", "CStr"];

/// One argument.
#[derive(Debug)]
pub(super) struct Argument {
    /// What it is called.
    pub(super) name: Ident,
    /// Its type in the signature, without `Self`.
    pub(super) written: TokenStream,
    /// The type that arrives: that of what a reference refers to.
    pub(super) sent: TokenStream,
    /// The type behind the reference, if it is one.
    pub(super) borrowed: Option<TokenStream>,
}

impl Argument {
    /// All arguments behind the receiver. The wrong ones are missing, and in `errors`.
    pub(super) fn read_all(
        signature: &Signature,
        object: &Path,
        errors: &mut Errors,
    ) -> Vec<Argument> {
        let typed = signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        });
        if let Some(one_more) = typed.clone().nth(MOST) {
            errors
                .push(one_more, "a call has at most 16 arguments: put some of them into a struct");
        }
        typed.filter_map(|typed| Argument::read(typed, object, errors)).collect()
    }

    fn read(typed: &PatType, object: &Path, errors: &mut Errors) -> Option<Argument> {
        if let Some(conditional) = typed.attrs.iter().find(|attribute| {
            attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr")
        }) {
            errors.push(
                conditional,
                "an argument of a managed method cannot be conditional: write the method twice, each with a \
                 `#[cfg]`",
            );
        }
        let name = match &*typed.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
                Some(ours(&pat.ident))
            }
            pat => {
                errors.push(
                    pat,
                    "an argument of a managed method needs a name, which the method of the proxy has too: \
                     take it apart in the body",
                );
                None
            }
        };
        let written = without_self(&typed.ty, object);
        let ty = bare(&typed.ty);
        let Type::Reference(reference) = ty else {
            refuse_what_stays(ty, Place::Argument, errors);
            return Some(Argument { name: name?, sent: written.clone(), written, borrowed: None });
        };
        if reference.mutability.is_some() {
            errors.push(
                ty,
                "the caller is in another process, so nothing of it can be changed: take `&T` or `T`, and \
                 return what is to come back",
            );
        } else if reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static") {
            errors.push(
                ty,
                "what an argument refers to lives in the server as long as the call: leave out the lifetime",
            );
        }
        let elem = bare(&reference.elem);
        refuse_what_stays(elem, Place::Argument, errors);
        let borrowed = without_self(elem, object);
        let sent = match elem {
            Type::Slice(slice) => {
                let item = without_self(&slice.elem, object);
                quote_spanned! { place_of(ty) => ::std::vec::Vec<#item> }
            }
            Type::Path(path)
                if path.path.segments.last().is_some_and(|last| {
                    last.arguments.is_none() && BORROWED.iter().any(|name| last.ident == name)
                }) =>
            {
                quote_spanned! { place_of(ty) => <#borrowed as ::std::borrow::ToOwned>::Owned }
            }
            _ => borrowed.clone(),
        };
        Some(Argument { name: name?, written, sent, borrowed: Some(borrowed) })
    }

    /// As the function of the user gets it, when it has arrived.
    pub(super) fn passed(&self) -> TokenStream {
        let name = &self.name;
        if self.borrowed.is_some() {
            quote! { &#name }
        } else {
            quote! { #name }
        }
    }

    /// As one that lives as long as it is needed.
    pub(super) fn owned(&self) -> TokenStream {
        let name = &self.name;
        match &self.borrowed {
            Some(ty) => quote_spanned! { place_of(ty) =>
                <#ty as ::std::borrow::ToOwned>::to_owned(#name)
            },
            None => quote! { #name },
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::ToTokens;
    use syn::parse_quote;

    use super::*;

    fn read(signature: &Signature) -> (Vec<Argument>, usize) {
        let mut errors = Errors::default();
        let arguments = Argument::read_all(signature, &parse_quote!(Counter), &mut errors);
        (arguments, errors.count())
    }

    fn refused(argument: &FnArg) -> usize {
        read(&parse_quote!(fn f(&self, #argument))).1
    }

    #[test]
    fn what_a_reference_refers_to_is_sent() {
        let (arguments, wrong) = read(&parse_quote! {
            fn f(&self, a: u8, b: &str, c: &[Self], d: &'_ Config, e: &std::path::Path, f: &(Path<u8>))
        });
        assert_eq!(wrong, 0);
        let sent: Vec<_> =
            arguments.iter().map(|one| one.sent.to_string().replace(' ', "")).collect();
        assert_eq!(
            sent,
            [
                "u8",
                "<stras::std::borrow::ToOwned>::Owned",
                "::std::vec::Vec<Counter>",
                "Config",
                "<std::path::Pathas::std::borrow::ToOwned>::Owned",
                "Path<u8>",
            ]
        );
        let passed: Vec<_> =
            arguments.iter().map(|one| one.passed().to_string().replace(' ', "")).collect();
        assert_eq!(passed, ["a", "&b", "&c", "&d", "&e", "&f"]);
        assert_eq!(arguments[2].written.to_string(), "& [Counter]");
    }

    #[test]
    fn a_mutable_name_is_a_name() {
        let (arguments, wrong) = read(&parse_quote!(fn f(&self, mut n: u8)));
        assert_eq!((arguments[0].name.to_token_stream().to_string(), wrong), ("n".to_owned(), 0));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        assert_eq!(refused(&parse_quote!(n: &mut u8)), 1);
        assert_eq!(refused(&parse_quote!(n: &'static str)), 1);
        assert_eq!(refused(&parse_quote!(n: &&u8)), 1);
        assert_eq!(refused(&parse_quote!(n: &dyn Display)), 1);
        assert_eq!(refused(&parse_quote!(n: impl Display)), 1);
        assert_eq!(refused(&parse_quote!(_: u8)), 1);
        assert_eq!(refused(&parse_quote!((a, b): (u8, u8))), 1);
        assert_eq!(refused(&parse_quote!(ref n: u8)), 1);
        assert_eq!(refused(&parse_quote!(#[cfg(unix)] n: u8)), 1);
        assert_eq!(refused(&parse_quote!((a, _): &mut (&u8, u8))), 3);
    }

    #[test]
    fn there_are_as_many_arguments_as_a_tuple_has() {
        let inputs = |count: usize| {
            let names = (0..count).map(|n| quote::format_ident!("n{n}"));
            read(&parse_quote!(fn f(&self, #(#names: u8),*))).1
        };
        assert_eq!(inputs(16), 0);
        assert_eq!(inputs(18), 1);
    }
}
