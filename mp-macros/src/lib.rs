#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

use proc_macro::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, ReturnType, Visibility, parse_macro_input};

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
    let arguments = proc_macro2::TokenStream::from(arguments);
    expand(&arguments, function).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(
    arguments: &proc_macro2::TokenStream,
    function: ItemFn,
) -> syn::Result<proc_macro2::TokenStream> {
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
