//! The side of the server: which method is called, with what, and how an object is made.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::LitStr;

use super::argument::Argument;
use super::block::Block;
use super::method::{Constructor, Function, Method};
use super::output::Output;
use super::place_of;

/// The implementation of `Manageable`, and for each constructor its entry and the arguments of it.
pub(super) fn write(block: &Block, name: &LitStr) -> TokenStream {
    let Block { object, conditions, .. } = block;
    let proxy = block.proxy();
    let arms = block.methods.iter().map(|method| arm(block, method));
    let constructors = block.constructors.iter().map(|new| constructor(block, new, name));
    let named = block.constructors.is_empty().then(|| {
        quote! {
            #(#conditions)*
            ::mp::__managed::inventory::submit! {
                ::mp::__managed::Named {
                    name: #name,
                    place: ::core::concat!(::core::file!(), ":", ::core::line!()),
                }
            }
        }
    });
    let check = assertion("assert_shareable", object);
    quote! {
        #(#conditions)*
        const _: fn() = || { #check };

        #(#conditions)*
        impl ::mp::__managed::Manageable for #object {
            type Proxy = #proxy;

            const NAME: &'static ::core::primitive::str = #name;

            fn serve(
                __mp_object: &::mp::__managed::Shelf<Self>,
                __mp_method: &::core::primitive::str,
                __mp_call: &::mp::__managed::Call<'_>,
            ) -> ::mp::__managed::Reply {
                use ::mp::__managed::Unchecked as _;
                match __mp_method {
                    #(#arms)*
                    _ => ::mp::__managed::Call::unknown_method(__mp_call, #name),
                }
            }

            fn preview(&self) -> ::core::option::Option<::std::string::String> {
                use ::mp::__managed::NoPreview as _;
                ::mp::__managed::Preview(self).preview()
            }
        }

        #named

        #(#constructors)*
    }
}

/// What a call of a method does.
fn arm(block: &Block, method: &Method) -> TokenStream {
    let object = &block.object;
    let Function { ident, conditions, allow_deprecated, .. } = &method.function;
    let name = LitStr::new(&method.name(), Span::call_site());
    let checks = argument_checks("assert_argument", &method.function);
    let arguments = arguments(&method.function);
    let passed = method.function.arguments.iter().map(Argument::passed);
    let lend = if method.is_exclusive {
        quote! { exclusive }
    } else {
        quote! { shared }
    };
    let value = method.output.value();
    let output_check = assertion("assert_returned", value);
    let reply = match &method.output {
        Output::Value(_) => quote! { ::mp::__managed::Checked(&__mp_result).reply(__mp_call) },
        Output::Fallible { error, .. } => {
            let check = error.as_ref().map(|error| assertion("assert_raised", error));
            // Its value is what the proxy says, also where an alias has its parameters in another order.
            quote! {
                #check
                let __mp_result: ::core::result::Result<#value, _> = __mp_result;
                match __mp_result {
                    ::core::result::Result::Ok(__mp_value) => {
                        ::mp::__managed::Checked(&__mp_value).reply(__mp_call)
                    }
                    ::core::result::Result::Err(__mp_error) => {
                        ::core::result::Result::Err(::mp::__managed::Checked(__mp_error).failure())
                    }
                }
            }
        }
    };
    quote! {
        #(#conditions)*
        #allow_deprecated
        #name => {
            #checks
            #output_check
            #arguments
            let __mp_result = ::mp::__managed::Shelf::#lend(__mp_object, |__mp_object| {
                <#object>::#ident(__mp_object, #(#passed),*)
            })?;
            #reply
        }
    }
}

/// What a call has to bring, each under its name.
fn arguments(function: &Function) -> TokenStream {
    let names = function.arguments.iter().map(|argument| &argument.name);
    let sent = function.arguments.iter().map(|argument| &argument.sent);
    quote! {
        let (#(#names,)*) =
            ::mp::__managed::Checked(::core::marker::PhantomData::<(#(#sent,)*)>).args(__mp_call)?;
    }
}

/// Has the compiler say whether each argument is what it has to be.
fn argument_checks(name: &str, function: &Function) -> TokenStream {
    function.arguments.iter().map(|argument| assertion(name, &argument.sent)).collect()
}

/// Has the compiler say whether a type is what it has to be, where the user wrote it.
fn assertion(name: &str, ty: &TokenStream) -> TokenStream {
    let place = place_of(ty);
    let name = Ident::new(name, place);
    quote_spanned! { place => ::mp::__managed::#name::<#ty>(); }
}

/// How an object is made: what the type is asked for its arguments, and what the server does with them.
fn constructor(block: &Block, constructor: &Constructor, name: &LitStr) -> TokenStream {
    let Block { object, conditions, .. } = block;
    let Function { ident, arguments: all, conditions: own_conditions, allow_deprecated } =
        &constructor.function;
    let checks = argument_checks("assert_argument", &constructor.function);
    let arguments = arguments(&constructor.function);
    let (names, written) = (all.iter().map(|one| &one.name), all.iter().map(|one| &one.written));
    let owned = all.iter().map(Argument::owned);
    let kept_checks = argument_checks("assert_kept", &constructor.function);
    let passed = all.iter().map(Argument::passed);
    let opened = match &constructor.output {
        Output::Value(_) => None,
        Output::Fallible { error, .. } => {
            let check = error.as_ref().map(|error| assertion("assert_raised", error));
            Some(quote! {
                #check
                let __mp_object = ::core::result::Result::map_err(__mp_object, |__mp_error| {
                    ::mp::__managed::Checked(__mp_error).failure()
                })?;
            })
        }
    };
    quote! {
        #(#conditions)*
        impl #object {
            /// The arguments of [`new`](Self::new), for the `create` of a server, where it runs.
            #(#own_conditions)*
            pub fn args(#(#names: #written),*) -> ::mp::__managed::Args<#object> {
                use ::mp::__managed::Unchecked as _;
                #kept_checks
                ::mp::__managed::Checked((#(#owned,)*)).into_args()
            }
        }

        #(#conditions)*
        #(#own_conditions)*
        ::mp::__managed::inventory::submit! {
            ::mp::__managed::Registered {
                name: #name,
                place: ::core::concat!(::core::file!(), ":", ::core::line!()),
                create: |__mp_call| {
                    use ::mp::__managed::Unchecked as _;
                    #checks
                    #arguments
                    #allow_deprecated
                    let __mp_object = ::mp::__managed::__mp_begin_short_backtrace(|| {
                        <#object>::#ident(#(#passed),*)
                    });
                    #opened
                    ::core::result::Result::Ok(::std::boxed::Box::new(
                        ::mp::__managed::Shelf::<#object>::new(__mp_object),
                    ))
                },
            }
        }
    }
}
