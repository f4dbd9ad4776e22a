//! The side of everybody else: the proxy, whose methods are messages.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::LitStr;

use super::block::Block;
use super::method::{Function, Method};

/// The proxy of the type.
pub(super) fn write(block: &Block, name: &LitStr) -> TokenStream {
    let Block { conditions, .. } = block;
    let proxy = block.proxy();
    let doc = format!("A proxy of a `{}`, which lives in a server process.", block.name());
    let methods = block.methods.iter().map(|method| message(block, method));
    let traits = traits(block, name);
    quote! {
        #[doc = #doc]
        #(#conditions)*
        #[derive(
            ::core::clone::Clone,
            ::core::cmp::PartialEq,
            ::core::cmp::Eq,
            ::core::hash::Hash,
        )]
        pub struct #proxy(::mp::__managed::Proxy);

        #(#conditions)*
        impl #proxy {
            #(#methods)*
        }

        #traits
    }
}

/// A method that calls the one of the object.
fn message(block: &Block, method: &Method) -> TokenStream {
    let Function { ident, arguments, conditions, .. } = &method.function;
    let (names, written) =
        (arguments.iter().map(|one| &one.name), arguments.iter().map(|one| &one.written));
    let values = names.clone();
    let value = method.output.value();
    let name = LitStr::new(&method.name(), Span::call_site());
    let descriptions = &method.descriptions;
    let title = (!method.is_documented).then(|| {
        let title = format!("Calls `{}::{}` in the server.", block.name(), method.name());
        quote! { #[doc = #title] }
    });
    let heading = (!method.tells_errors).then(|| quote! { #[doc = "# Errors"] #[doc = ""] });
    quote! {
        #title
        #(#descriptions)*
        ///
        #heading
        /// What it raises arrives as an [`Exception`](::mp::ManagerError::Exception); the other
        /// [`ManagerError`](::mp::ManagerError)s say why there was no answer.
        #(#conditions)*
        pub fn #ident(
            &self,
            #(#names: #written,)*
        ) -> ::core::result::Result<#value, ::mp::ManagerError> {
            use ::mp::__managed::Unchecked as _;
            ::mp::__managed::Checked((::core::marker::PhantomData::<#value>, &(#(#values,)*)))
                .call(&self.0, #name)
        }
    }
}

/// What a proxy can do whatever its type is.
fn traits(block: &Block, name: &LitStr) -> TokenStream {
    let proxy = block.proxy();
    let traits = [
        quote! {
            impl ::mp::__managed::TypedProxy for #proxy {
                const TYPE: &'static ::core::primitive::str = #name;

                fn from_proxy(proxy: ::mp::__managed::Proxy) -> Self {
                    Self(proxy)
                }

                fn as_proxy(&self) -> &::mp::__managed::Proxy {
                    &self.0
                }
            }
        },
        quote! {
            impl ::core::ops::Deref for #proxy {
                type Target = ::mp::__managed::Proxy;

                fn deref(&self) -> &::mp::__managed::Proxy {
                    &self.0
                }
            }
        },
        quote! {
            impl ::core::fmt::Debug for #proxy {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::fmt::Debug::fmt(&self.0, f)
                }
            }
        },
        quote! {
            impl ::core::fmt::Display for #proxy {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::fmt::Display::fmt(&self.0, f)
                }
            }
        },
        quote! {
            impl ::mp::__managed::serde::Serialize for #proxy {
                fn serialize<S: ::mp::__managed::serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> ::core::result::Result<S::Ok, S::Error> {
                    ::mp::__managed::serde::Serialize::serialize(&self.0, serializer)
                }
            }
        },
        quote! {
            impl<'de> ::mp::__managed::serde::Deserialize<'de> for #proxy {
                fn deserialize<D: ::mp::__managed::serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> ::core::result::Result<Self, D::Error> {
                    ::mp::__managed::deserialize_typed(deserializer)
                }
            }
        },
    ];
    let conditions = &block.conditions;
    traits.into_iter().map(|written| quote! { #(#conditions)* #written }).collect()
}
