//! What a method returns, and which part of it its caller gets.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{GenericArgument, Path, PathArguments, PathSegment, ReturnType, Type};

use super::types::{Place, bare, refuse_what_stays, without_self};
use super::{Errors, place_of};

/// What a method returns.
#[derive(Debug)]
pub(super) enum Output {
    /// A value, which is sent.
    Value(TokenStream),
    /// A `Result`: its value is sent, or its error raised at the caller.
    Fallible {
        /// What is sent.
        value: TokenStream,
        /// What is raised, if it stands there: `mp::Result<T>` has none.
        error: Option<TokenStream>,
    },
}

impl Output {
    /// Of a method.
    pub(super) fn read(output: &ReturnType, object: &Path, errors: &mut Errors) -> Output {
        let ReturnType::Type(_, ty) = output else {
            return Output::Value(quote! { () });
        };
        let ty = bare(ty);
        let Some(result) = result_in(ty) else {
            refuse_what_stays(ty, Place::Output, errors);
            return Output::Value(without_self(ty, object));
        };
        let mut arguments = arguments_of(result);
        let Some(value) = arguments.next() else {
            // An alias, like `fmt::Result`.
            let alias = without_self(ty, object);
            let value =
                quote_spanned! { place_of(ty) => <#alias as ::mp::__managed::Fallible>::Value };
            return Output::Fallible { value, error: None };
        };
        refuse_what_stays(value, Place::Output, errors);
        let error = arguments.next().map(|error| without_self(error, object));
        Output::Fallible { value: without_self(value, object), error }
    }

    /// The type that is sent.
    pub(super) fn value(&self) -> &TokenStream {
        match self {
            Output::Value(value) | Output::Fallible { value, .. } => value,
        }
    }
}

/// What a constructor returns: nothing if it makes no object.
pub(super) fn of_constructor(output: &ReturnType, object: &Path) -> Option<Output> {
    let ReturnType::Type(_, ty) = output else {
        return None;
    };
    let ty = bare(ty);
    let value = object.to_token_stream();
    if is_object(ty, object) {
        return Some(Output::Value(value));
    }
    let mut arguments = arguments_of(result_in(ty)?);
    if !is_object(arguments.next()?, object) {
        return None;
    }
    let error = arguments.next().map(|error| without_self(error, object));
    Some(Output::Fallible { value, error })
}

fn is_object(ty: &Type, object: &Path) -> bool {
    let Type::Path(ty) = bare(ty) else {
        return false;
    };
    let name = |path: &Path| path.segments.last().map(|last| last.ident.clone());
    ty.path.is_ident("Self") || name(&ty.path) == name(object)
}

/// The `Result<…>` in a type like `io::Result<u8>`.
fn result_in(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last().filter(|last| last.ident == "Result"),
        _ => None,
    }
}

fn arguments_of(segment: &PathSegment) -> impl Iterator<Item = &Type> {
    let arguments = match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn read(output: &ReturnType) -> (Output, usize) {
        let mut errors = Errors::default();
        let output = Output::read(output, &parse_quote!(Counter), &mut errors);
        (output, errors.count())
    }

    fn value(output: &ReturnType) -> String {
        match read(output) {
            (Output::Value(value), 0) => value.to_string().replace(' ', ""),
            other => panic!("not a value: {other:?}"),
        }
    }

    fn fallible(output: &ReturnType) -> (String, Option<String>) {
        match read(output) {
            (Output::Fallible { value, error }, 0) => {
                (value.to_string().replace(' ', ""), error.map(|error| error.to_string()))
            }
            other => panic!("not a result: {other:?}"),
        }
    }

    #[test]
    fn a_value_is_sent_as_it_is() {
        assert_eq!(value(&parse_quote!()), "()");
        assert_eq!(value(&parse_quote!(-> Vec<Self>)), "Vec<Counter>");
        assert_eq!(value(&parse_quote!(-> Option<Result<u8, E>>)), "Option<Result<u8,E>>");
        assert_eq!(value(&parse_quote!(-> ResultOf<u8>)), "ResultOf<u8>");
    }

    #[test]
    fn a_result_is_known_by_its_name() {
        assert_eq!(fallible(&parse_quote!(-> mp::Result<Self>)), ("Counter".to_owned(), None));
        assert_eq!(
            fallible(&parse_quote!(-> (::std::result::Result<(), Box<E>>))),
            ("()".to_owned(), Some("Box < E >".to_owned()))
        );
        assert_eq!(
            fallible(&parse_quote!(-> fmt::Result)),
            ("<fmt::Resultas::mp::__managed::Fallible>::Value".to_owned(), None)
        );
    }

    #[test]
    fn what_is_borrowed_is_refused_but_not_in_an_error() {
        assert_eq!(read(&parse_quote!(-> Option<&u8>)).1, 1);
        assert_eq!(read(&parse_quote!(-> io::Result<&u8>)).1, 1);
        assert_eq!(read(&parse_quote!(-> Result<u8, &'static str>)).1, 0);
    }

    #[test]
    fn a_constructor_makes_an_object() {
        let object: Path = parse_quote!(shop::Counter);
        let returns = |output: ReturnType| {
            Some(match of_constructor(&output, &object)? {
                Output::Value(_) => "an object".to_owned(),
                Output::Fallible { error, .. } => {
                    format!("{:?}", error.map(|error| error.to_string()))
                }
            })
        };
        let an_object = Some("an object".to_owned());
        assert_eq!(returns(parse_quote!(-> Self)), an_object);
        assert_eq!(returns(parse_quote!(-> Counter)), an_object);
        assert_eq!(returns(parse_quote!(-> mp::Result<Self>)).as_deref(), Some("None"));
        assert_eq!(
            returns(parse_quote!(-> Result<shop::Counter, E>)).as_deref(),
            Some("Some(\"E\")")
        );
        assert_eq!(returns(parse_quote!()), None);
        assert_eq!(returns(parse_quote!(-> Option<Self>)), None);
        assert_eq!(returns(parse_quote!(-> Arc<Self>)), None);
        assert_eq!(returns(parse_quote!(-> fmt::Result)), None);
    }
}
