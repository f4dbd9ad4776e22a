//! What `#[mp::main]` makes of `main`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, ReturnType, Visibility};

/// The function `main`, called after `mp::init();`.
///
/// # Errors
///
/// Where it cannot be `main`, or there are arguments.
pub(crate) fn expand(arguments: &TokenStream, function: ItemFn) -> syn::Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[mp::main]` takes no arguments"));
    }
    if function.sig.ident != "main" {
        return Err(Error::new_spanned(
            &function.sig.ident,
            "`#[mp::main]` goes on the function `main` of a program",
        ));
    }
    if let Some(asyncness) = &function.sig.asyncness {
        return Err(Error::new_spanned(
            asyncness,
            "`#[mp::main]` needs a plain `main`: start the runtime in it, after children were told apart",
        ));
    }
    let ItemFn { attrs, vis, sig, .. } = &function;
    let body = ItemFn { attrs: Vec::new(), vis: Visibility::Inherited, ..function.clone() };
    // The end of `main` is here, before the runtime's own: a thread that exits the process while it
    // is waited for can still do so.
    let call = match sig.output {
        ReturnType::Default => quote! { main(); ::mp::__private::finish(); },
        ReturnType::Type(..) => quote! {
            let outcome = main();
            ::mp::__private::finish();
            outcome
        },
    };
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #body
            ::mp::init();
            #call
        }
    })
}
