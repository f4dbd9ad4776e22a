//! The attributes of a method, or of the block, that what is made of it has too.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, Meta, Path, Token};

use super::Errors;

/// Takes `#[managed(skip)]` off a method; whether it was there.
pub(super) fn take_skip(attributes: &mut Vec<Attribute>, errors: &mut Errors) -> bool {
    let mut is_skipped = false;
    attributes.retain(|attribute| {
        if is_managed(attribute.path()) {
            is_skipped = true;
            let words = attribute.parse_args_with(|input: ParseStream<'_>| {
                input.call(Punctuated::<Path, Token![,]>::parse_terminated)
            });
            if !words.is_ok_and(|words| words.len() == 1 && words[0].is_ident("skip")) {
                errors.push(attribute, "on a method this attribute is `#[managed(skip)]`");
            }
            return false;
        }
        if conditional(attribute).is_some_and(|(_, metas)| {
            metas.iter().any(|meta| is_managed(meta.path()))
        }) {
            errors.push(
                attribute,
                "`#[managed(skip)]` cannot depend on a condition: write the method twice, each with a `#[cfg]`",
            );
            return false;
        }
        true
    });
    is_skipped
}

fn is_managed(path: &Path) -> bool {
    path.segments.last().is_some_and(|last| last.ident == "managed")
}

/// The conditions under which something is there.
pub(super) fn conditions(attributes: &[Attribute]) -> Vec<TokenStream> {
    chosen(attributes, |path| path.is_ident("cfg"))
}

/// What is said about a method that is true of the method of the proxy.
///
/// Lints that were silenced for the body of the method have no place there, and `#[must_use]` has none on what
/// returns a `Result`.
pub(super) fn descriptions(attributes: &[Attribute]) -> Vec<TokenStream> {
    chosen(attributes, |path| path.is_ident("doc") || path.is_ident("deprecated"))
}

/// An `#[allow(deprecated)]` where the user is on good terms with what is deprecated.
pub(super) fn allow_deprecated(attributes: &[Attribute]) -> Option<TokenStream> {
    let is_told = attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("allow") || list.path.is_ident("expect") => {
            list.tokens.to_string().contains("deprecated")
        }
        meta => meta.path().is_ident("deprecated"),
    });
    is_told.then(|| quote! { #[allow(deprecated, reason = "it is the user who is to be warned")] })
}

/// Whether there is documentation.
pub(super) fn is_documented(attributes: &[Attribute]) -> bool {
    docs(attributes).next().is_some()
}

/// Whether the documentation has a section of this name, as far as it stands in comments.
pub(super) fn has_section(attributes: &[Attribute], name: &str) -> bool {
    docs(attributes).any(|doc| {
        let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = doc else { return false };
        text.value().lines().any(|line| {
            let heading = line.trim().trim_start_matches('#');
            heading.len() < line.trim().len() && heading.trim() == name
        })
    })
}

fn docs(attributes: &[Attribute]) -> impl Iterator<Item = &Expr> {
    attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => Some(&meta.value),
        _ => None,
    })
}

/// The attributes with such a name, also those inside of a `cfg_attr`, which stay conditional.
fn chosen(attributes: &[Attribute], is_chosen: fn(&Path) -> bool) -> Vec<TokenStream> {
    attributes
        .iter()
        .filter_map(|attribute| {
            if is_chosen(attribute.path()) {
                return Some(attribute.to_token_stream());
            }
            let (condition, metas) = conditional(attribute)?;
            let metas: Vec<_> = metas.iter().filter(|meta| is_chosen(meta.path())).collect();
            (!metas.is_empty()).then(|| quote! { #[cfg_attr(#condition, #(#metas),*)] })
        })
        .collect()
}

/// The condition of a `cfg_attr`, and the attributes that depend on it.
fn conditional(attribute: &Attribute) -> Option<(TokenStream, Vec<Meta>)> {
    let Meta::List(list) = &attribute.meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let parse = |input: ParseStream<'_>| {
        let mut condition = TokenStream::new();
        while !input.peek(Token![,]) {
            condition.extend([input.parse::<proc_macro2::TokenTree>()?]);
        }
        input.parse::<Token![,]>()?;
        let metas = input.call(Punctuated::<Meta, Token![,]>::parse_terminated)?;
        Ok((condition, metas.into_iter().collect()))
    };
    parse.parse2(list.tokens.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(written: &str) -> Vec<Attribute> {
        Attribute::parse_outer.parse_str(written).unwrap()
    }

    fn text(attributes: &[TokenStream]) -> Vec<String> {
        attributes.iter().map(|tokens| tokens.to_string().replace(' ', "")).collect()
    }

    #[test]
    fn conditions_and_descriptions_are_told_apart() {
        let attributes =
            of("#[doc = \"Text.\"] #[cfg(unix)] #[must_use] #[deprecated] #[allow(unused)]
            #[cfg_attr(all(a, b), cfg(c), doc = \"d\", inline)] #[cfg_attr(true, inline)]");
        assert_eq!(
            text(&conditions(&attributes)),
            ["#[cfg(unix)]", "#[cfg_attr(all(a,b),cfg(c))]"]
        );
        assert_eq!(
            text(&descriptions(&attributes)),
            ["#[doc=\"Text.\"]", "#[deprecated]", "#[cfg_attr(all(a,b),doc=\"d\")]"]
        );
    }

    #[test]
    fn skip_is_taken_off() {
        let mut attributes = of("#[inline] #[managed(skip)] #[cold]");
        let mut errors = Errors::default();
        assert!(take_skip(&mut attributes, &mut errors));
        assert!(!take_skip(&mut attributes, &mut errors));
        assert_eq!((attributes.len(), errors.count()), (2, 0));
    }

    #[test]
    fn other_words_than_skip_are_refused() {
        for written in [
            "#[managed]",
            "#[managed()]",
            "#[managed(skipped)]",
            "#[mp::managed(skip = true)]",
            "#[cfg_attr(unix, managed(skip))]",
        ] {
            let (mut attributes, mut errors) = (of(written), Errors::default());
            take_skip(&mut attributes, &mut errors);
            assert_eq!((attributes.len(), errors.count()), (0, 1), "{written}");
        }
    }

    #[test]
    fn what_is_hidden_is_not_documented() {
        assert!(is_documented(&of("/// Text.")));
        assert!(!is_documented(&of("#[doc(hidden)] #[deprecated]")));
    }

    #[test]
    fn sections_are_found_in_comments() {
        let attributes = of("/// Errors\n///\n/// # Panics\n#[doc = include_str!(\"# Safety\")]");
        assert!(has_section(&attributes, "Panics"));
        assert!(!has_section(&attributes, "Errors"));
        assert!(!has_section(&attributes, "Safety"));
    }

    #[test]
    fn the_deprecated_is_allowed_where_the_user_knows_of_it() {
        assert!(allow_deprecated(&of("#[deprecated = \"old\"]")).is_some());
        assert!(allow_deprecated(&of("#[expect(unused, deprecated)]")).is_some());
        assert!(allow_deprecated(&of("#[allow(unused)]")).is_none());
    }
}
