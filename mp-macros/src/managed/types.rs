//! Types as they can stand in the signature of a method that is called from another process.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Expr, Lifetime, Path, Type};

use super::Errors;

/// Where a type stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// In an argument, behind the `&` of it if there is one.
    Argument,
    /// In what is returned.
    Output,
}

/// Refuses everything in a type that cannot leave its process. What is owned and is not known to be
/// serialisable is for the compiler to judge.
pub(super) fn refuse_what_stays(ty: &Type, place: Place, errors: &mut Errors) {
    Refusals { place, errors }.visit_type(ty);
}

struct Refusals<'e> {
    place: Place,
    errors: &'e mut Errors,
}

impl<'ast> Visit<'ast> for Refusals<'_> {
    fn visit_type(&mut self, ty: &'ast Type) {
        let message = match (ty, self.place) {
            (Type::Reference(_), Place::Argument) => {
                "a reference inside of an argument cannot be sent: only the whole argument can be one \
                 (`&str`, `&[T]`, `&T`); write the owned type here"
            }
            (Type::Reference(_), Place::Output) => {
                "a result leaves the server, so nothing in it can be borrowed: return an owned value \
                 (`String` for `&str`, `Vec<T>` for `&[T]`), or `mp::Managed<T>` for an object that stays"
            }
            (Type::ImplTrait(_), Place::Argument) => {
                "the type of an argument has to be known to its sender: write a type instead of \
                 `impl Trait`"
            }
            (Type::ImplTrait(_), Place::Output) => {
                "the type of a result has to be known to its receiver: write a type instead of \
                 `impl Trait`"
            }
            (Type::TraitObject(_), _) => {
                "a trait object cannot be sent to another process: write a type that implements the trait, \
                 or an enum of those that do"
            }
            (Type::Ptr(_), _) => {
                "a pointer means nothing in another process: write the type of what it points to"
            }
            (Type::BareFn(_), _) => {
                "a function pointer means nothing in another process: have a method for each thing to do, \
                 or write an enum that names them"
            }
            (Type::Never(_), _) => {
                "the caller waits for an answer, so the method has to return: leave out `-> !`"
            }
            _ => return visit::visit_type(self, ty),
        };
        self.errors.push(ty, message);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        // Others are parameters of the method, which are refused, or `'static`, which is not.
        if lifetime.ident != "_" {
            return;
        }
        let message = match self.place {
            Place::Argument => {
                "an argument that borrows cannot be sent: write an owned type, or a reference to one"
            }
            Place::Output => {
                "a result leaves the server, so nothing in it can be borrowed: return an owned value"
            }
        };
        self.errors.push(lifetime, message);
    }

    /// The length of an array is computed here as well as there.
    fn visit_expr(&mut self, _: &'ast Expr) {}
}

/// A type without parentheses and without the invisible ones that a `macro_rules!` puts around it.
pub(super) fn bare(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        };
    }
}

/// The tokens with `Self` written out, for places where it would be another type.
pub(super) fn without_self(tokens: impl ToTokens, object: &Path) -> TokenStream {
    let written_out = |tree: TokenTree| match tree {
        TokenTree::Ident(ident) if ident == "Self" => object
            .to_token_stream()
            .into_iter()
            .map(|mut token| {
                token.set_span(token.span().located_at(ident.span()));
                token
            })
            .collect(),
        TokenTree::Group(group) => {
            let stream = without_self(group.stream(), object);
            let mut written = proc_macro2::Group::new(group.delimiter(), stream);
            written.set_span(group.span());
            TokenTree::Group(written).into()
        }
        other => TokenStream::from(other),
    };
    tokens.to_token_stream().into_iter().flat_map(written_out).collect()
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn refusals(ty: &Type, place: Place) -> usize {
        let mut errors = Errors::default();
        refuse_what_stays(ty, place, &mut errors);
        errors.count()
    }

    #[test]
    fn owned_types_pass() {
        let types: [Type; 6] = [
            parse_quote!(u8),
            parse_quote!((String, [u8; { &LENGTHS }[0]])),
            parse_quote!(HashMap<String, Vec<Option<Job>>>),
            parse_quote!(Cow<'static, str>),
            parse_quote!(Managed<Self>),
            parse_quote!(made_by!(&a_macro)),
        ];
        for ty in types {
            assert_eq!(refusals(&ty, Place::Argument), 0);
            assert_eq!(refusals(&ty, Place::Output), 0);
        }
    }

    #[test]
    fn each_thing_that_stays_is_refused_wherever_it_is() {
        let types: [Type; 8] = [
            parse_quote!(Option<&u8>),
            parse_quote!(Vec<&'static str>),
            parse_quote!(impl Display),
            parse_quote!(Box<dyn Fn(&u8) -> &u8>),
            parse_quote!((u8, *const u8)),
            parse_quote!([fn(&u8); 2]),
            parse_quote!(!),
            parse_quote!(Option<Cow<'_, str>>),
        ];
        for ty in types {
            assert_eq!(refusals(&ty, Place::Argument), 1);
            assert_eq!(refusals(&ty, Place::Output), 1);
        }
    }

    #[test]
    fn all_in_one_type_are_refused() {
        assert_eq!(refusals(&parse_quote!((&u8, *mut u8, u8, dyn A)), Place::Output), 3);
    }

    #[test]
    fn self_is_written_out_at_any_depth() {
        let object = parse_quote!(shop::Counter);
        let ty: Type = parse_quote!(HashMap<Self, [(Self, r#Self_); Self::LEN]>);
        let expected = quote::quote!(
            HashMap<shop::Counter, [(shop::Counter, r#Self_); shop::Counter::LEN]>
        );
        assert_eq!(without_self(ty, &object).to_string(), expected.to_string());
    }
}
