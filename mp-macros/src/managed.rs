//! What `#[mp::managed]` makes of an `impl` block.
//!
//! [`block`] reads the block and refuses what cannot be called from another process; [`server`] and
//! [`proxy`] write the two sides of a call from what it found.
//!
//! Whatever is written names everything by an absolute path, so nothing in the user's scope can get in its
//! way. Names of the user are written with [`ours`], so that lints are silent about what the user did not
//! write; types keep their place, for the compiler's errors about them are the user's.

mod argument;
mod attributes;
mod block;
mod method;
mod output;
mod proxy;
mod server;
mod types;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{Item, LitStr};

use block::Block;

/// The block as it was, and after it the server's side and the proxy; or what is wrong, as far as it is,
/// beside what is right.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let name = name_in(arguments, &mut errors);
    let written = match syn::parse2(item) {
        Ok(Item::Impl(mut block)) => {
            let written = Block::read(&mut block, &mut errors).map(|read| {
                let name = name.unwrap_or_else(|| LitStr::new(&read.name(), read.ident().span()));
                let (server, proxy) = (server::write(&read, &name), proxy::write(&read, &name));
                quote! { #server #proxy }
            });
            quote! {
                #[allow(unreachable_pub, reason = "`pub` has a method called from elsewhere")]
                #block
                #written
            }
        }
        Ok(item) => {
            errors.push(
                start_of(&item),
                "`#[mp::managed]` goes on the `impl` block with the methods of a type",
            );
            item.into_token_stream()
        }
        Err(error) => return error.into_compile_error(),
    };
    let errors = errors.into_compile_errors();
    quote! { #written #errors }
}

/// The `name = "…"` in the parentheses of the attribute.
fn name_in(arguments: TokenStream, errors: &mut Errors) -> Option<LitStr> {
    let mut name = None::<LitStr>;
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("name") {
            return Err(meta.error("`#[mp::managed]` takes `name = \"…\"` and nothing else"));
        }
        if name.is_some() {
            return Err(meta.error("a type has one name"));
        }
        let value = meta.value()?.parse::<LitStr>().map_err(|error| {
            syn::Error::new(error.span(), "the name of a type is a text: `name = \"Counter\"`")
        })?;
        if value.value().trim().is_empty() {
            return Err(syn::Error::new_spanned(
                value,
                "the name of a type in a server cannot be empty: leave it out to use that of the type",
            ));
        }
        name = Some(value);
        Ok(())
    });
    if let Err(error) = syn::parse::Parser::parse2(parser, arguments) {
        errors.add(error);
    }
    name
}

/// The first token behind the attributes of an item: all of it would be too much to underline.
fn start_of(item: &Item) -> TokenStream {
    let attributes = match item {
        Item::Enum(item) => item.attrs.len(),
        Item::Fn(item) => item.attrs.len(),
        Item::Mod(item) => item.attrs.len(),
        Item::Struct(item) => item.attrs.len(),
        Item::Trait(item) => item.attrs.len(),
        _ => 0,
    };
    // `#` and the brackets.
    item.to_token_stream().into_iter().skip(2 * attributes).take(1).collect()
}

/// A name of the user in code of this macro: errors point at the user's, lints see that it is not.
fn ours(ident: &Ident) -> Ident {
    let mut ident = ident.clone();
    ident.set_span(ident.span().resolved_at(Span::call_site()));
    ident
}

/// Where `tokens` stand, for code of this macro: see [`ours`].
fn place_of(tokens: &impl Spanned) -> Span {
    tokens.span().resolved_at(Span::call_site())
}

/// All that is wrong with a block: the user sees it at once.
#[derive(Debug, Default)]
struct Errors(Option<syn::Error>);

impl Errors {
    fn push(&mut self, place: impl ToTokens, message: &str) {
        self.add(syn::Error::new_spanned(place, message));
    }

    fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Adds those of a part; nothing if there are some.
    fn check(&mut self, part: Errors) -> Option<()> {
        match part.0 {
            Some(error) => {
                self.add(error);
                None
            }
            None => Some(()),
        }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |all| all.into_iter().count())
    }

    fn into_compile_errors(self) -> Option<TokenStream> {
        self.0.map(syn::Error::into_compile_error)
    }
}

#[cfg(test)]
mod tests {
    use syn::{File, parse_str};

    use super::*;

    fn tokens(written: &str) -> TokenStream {
        parse_str(written).unwrap()
    }

    fn expanded(arguments: &str, item: &str) -> String {
        expand(tokens(arguments), tokens(item)).to_string().replace(' ', "")
    }

    #[test]
    fn a_name_is_a_text_with_something_in_it() {
        let name = |arguments| {
            let mut errors = Errors::default();
            let name = name_in(tokens(arguments), &mut errors).map(|name| name.value());
            (name, errors.count())
        };
        assert_eq!(name(""), (None, 0));
        assert_eq!(name("name = \"shop.Counter\","), (Some("shop.Counter".to_owned()), 0));
        assert_eq!(name("name = \" \""), (None, 1));
        assert_eq!(name("name = 5"), (None, 1));
        assert_eq!(name("name"), (None, 1));
        assert_eq!(name("\"Counter\""), (None, 1));
        assert_eq!(name("nom = \"Counter\""), (None, 1));
        assert_eq!(name("name = \"a\", name = \"b\"").1, 1);
    }

    #[test]
    fn the_block_is_left_and_the_rest_is_items() {
        let block =
            "impl Counter { pub fn new() -> Self { Counter } pub fn add(&mut self, n: i64) {} }";
        let file: File = syn::parse2(expand(tokens(""), tokens(block))).unwrap();
        let Some(Item::Impl(left)) = file.items.first() else { panic!("no block") };
        assert_eq!(left.items.len(), 2);
        let is_proxy =
            |item: &Item| matches!(item, Item::Struct(proxy) if proxy.ident == "CounterProxy");
        assert_eq!(file.items.iter().filter(|item| is_proxy(item)).count(), 1);
    }

    #[test]
    fn the_server_calls_by_the_name_it_is_given() {
        let written = expanded("name = \"shop.Counter\"", "impl Counter { pub fn r#in(&self) {} }");
        assert!(written.contains("constNAME:&'static::core::primitive::str=\"shop.Counter\";"));
        assert!(written.contains("\"in\"=>{"));
        assert!(written.contains("<Counter>::r#in(__mp_object,)"));
        // Its objects come from methods of others; its name is its own all the same.
        assert!(written.contains("__managed::Named{") && !written.contains("Registered"));
    }

    #[test]
    fn what_is_right_is_there_beside_the_mistakes() {
        let written = expanded("nom = 5", "impl Counter { pub fn a(self) {} pub fn b(&self) {} }");
        assert_eq!(written.matches("compile_error!").count(), 2);
        assert!(written.contains("pubstructCounterProxy"));
        assert!(written.contains("\"b\"=>{") && !written.contains("\"a\"=>{"));
    }

    #[test]
    fn conditions_of_the_block_are_those_of_all_that_is_made_of_it() {
        let block =
            "#[cfg(unix)] impl Counter { pub fn new() -> Self { Counter } pub fn add(&self) {} }";
        let file: File = syn::parse2(expand(tokens(""), tokens(block))).unwrap();
        for item in &file.items {
            let text = item.to_token_stream().to_string();
            assert!(text.contains("# [cfg (unix)]"), "{text}");
        }
    }

    #[test]
    fn other_items_are_refused_and_left() {
        for item in [
            "struct Counter;",
            "#[a] enum Counter {}",
            "fn count() {}",
            "trait Count {}",
            "use a::b;",
        ] {
            let written = expanded("", item);
            assert_eq!(written.matches("compile_error!").count(), 1);
            assert!(written.starts_with(&item.replace(' ', "")));
        }
    }
}
