//! The functions of a block that can be called from another process: methods, and the constructor.

use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt;
use syn::{FnArg, GenericParam, ImplItemFn, Path, Receiver, ReturnType, Signature, Type};

use super::argument::Argument;
use super::attributes::{allow_deprecated, conditions, descriptions, has_section, is_documented};
use super::output::{Output, of_constructor};
use super::types::bare;
use super::{Errors, ours};

/// What is common to both.
#[derive(Debug)]
pub(super) struct Function {
    /// What it is called.
    pub(super) ident: Ident,
    /// Its arguments behind the receiver.
    pub(super) arguments: Vec<Argument>,
    /// The conditions under which it is there.
    pub(super) conditions: Vec<TokenStream>,
    /// What silences the compiler where it is deprecated.
    pub(super) allow_deprecated: Option<TokenStream>,
}

impl Function {
    fn read(function: &ImplItemFn, object: &Path, errors: &mut Errors) -> Function {
        refuse_kinds_of_functions(&function.sig, errors);
        Function {
            ident: ours(&function.sig.ident),
            arguments: Argument::read_all(&function.sig, object, errors),
            conditions: conditions(&function.attrs),
            allow_deprecated: allow_deprecated(&function.attrs),
        }
    }
}

/// A method, which a proxy has too.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) function: Function,
    /// Whether it is the only one that runs: `&mut self`.
    pub(super) is_exclusive: bool,
    pub(super) output: Output,
    /// Its documentation, and that it is deprecated.
    pub(super) descriptions: Vec<TokenStream>,
    /// Whether there is documentation among them.
    pub(super) is_documented: bool,
    /// Whether it says when the method fails.
    pub(super) tells_errors: bool,
}

impl Method {
    /// Nothing if it is wrong: `errors` has what.
    pub(super) fn read(method: &ImplItemFn, object: &Path, errors: &mut Errors) -> Option<Method> {
        let FnArg::Receiver(receiver) = method.sig.inputs.first()? else {
            return None;
        };
        let mut wrong = Errors::default();
        let is_exclusive = is_exclusive(receiver);
        if is_exclusive.is_none() {
            wrong.push(
                receiver,
                "a managed method takes `&self` or `&mut self`: the object stays in its server, which lends it",
            );
        }
        let function = Function::read(method, object, &mut wrong);
        let output = Output::read(&method.sig.output, object, &mut wrong);
        errors.check(wrong)?;
        Some(Method {
            function,
            is_exclusive: is_exclusive?,
            output,
            descriptions: descriptions(&method.attrs),
            is_documented: is_documented(&method.attrs),
            tells_errors: has_section(&method.attrs, "Errors"),
        })
    }

    /// What it is called in a message.
    pub(super) fn name(&self) -> String {
        self.function.ident.unraw().to_string()
    }
}

/// The function `new`.
#[derive(Debug)]
pub(super) struct Constructor {
    pub(super) function: Function,
    /// The object, or a `Result` of it.
    pub(super) output: Output,
}

impl Constructor {
    /// Nothing if it is wrong: `errors` has what.
    pub(super) fn read(
        new: &ImplItemFn,
        object: &Path,
        errors: &mut Errors,
    ) -> Option<Constructor> {
        let mut wrong = Errors::default();
        let function = Function::read(new, object, &mut wrong);
        let output = of_constructor(&new.sig.output, object);
        if output.is_none() {
            let message = "`new` makes the object that lives in the server: it returns `Self` or a `Result` of \
                           it; put `#[managed(skip)]` on it if it is for something else";
            match &new.sig.output {
                ReturnType::Default => wrong.push(&new.sig.ident, message),
                ReturnType::Type(_, ty) => wrong.push(ty, message),
            }
        }
        errors.check(wrong)?;
        Some(Constructor { function, output: output? })
    }
}

/// Whether a method is for its own: nothing if it borrows the object in no way that a server can lend it.
fn is_exclusive(receiver: &Receiver) -> Option<bool> {
    let Type::Reference(reference) = bare(&receiver.ty) else {
        return None;
    };
    // Any other is a parameter of the method, which is refused.
    let is_short = reference.lifetime.as_ref().is_none_or(|lifetime| lifetime.ident != "static");
    let is_self = matches!(bare(&reference.elem), Type::Path(path) if path.path.is_ident("Self"));
    (is_short && is_self).then_some(reference.mutability.is_some())
}

fn refuse_kinds_of_functions(signature: &Signature, errors: &mut Errors) {
    if let Some(asyncness) = &signature.asyncness {
        errors.push(
            asyncness,
            "a managed method cannot be `async`: each caller has a thread of the server, which may block",
        );
    }
    if let Some(unsafety) = &signature.unsafety {
        errors.push(
            unsafety,
            "a managed method cannot be `unsafe`: what it asks for cannot be promised from another process",
        );
    }
    if let Some(abi) = &signature.abi {
        errors.push(
            abi,
            "a managed method cannot be `extern`: it is called by its name in a message, so leave it out",
        );
    }
    if let Some(variadic) = &signature.variadic {
        errors
            .push(variadic, "a managed method has a number of arguments: take a `Vec<T>` instead");
    }
    for parameter in &signature.generics.params {
        let message = match parameter {
            GenericParam::Lifetime(_) => {
                "a managed method cannot have lifetimes: an argument lives as long as the call, and a result is \
                 owned; leave it out"
            }
            GenericParam::Type(_) | GenericParam::Const(_) => {
                "a managed method cannot be generic: a message names the method and not its instance; write a \
                 method for each type, or take an enum"
            }
        };
        errors.push(parameter, message);
    }
    if let Some(clause) = &signature.generics.where_clause
        && signature.generics.params.is_empty()
    {
        errors.push(
            clause,
            "a managed method has no `where` clause: without parameters it has nothing to say",
        );
    }
}

#[cfg(test)]
mod tests {
    use syn::{parse_quote, parse_str};

    use super::*;

    fn method(written: &str) -> Result<Method, usize> {
        let mut errors = Errors::default();
        let written = parse_str(written).unwrap();
        let read = Method::read(&written, &parse_quote!(Counter), &mut errors);
        read.ok_or_else(|| errors.count())
    }

    fn constructor(written: &str) -> Result<Constructor, usize> {
        let mut errors = Errors::default();
        let written = parse_str(written).unwrap();
        let read = Constructor::read(&written, &parse_quote!(Counter), &mut errors);
        read.ok_or_else(|| errors.count())
    }

    #[test]
    fn the_receiver_says_whether_others_run_meanwhile() {
        let is_exclusive = |written| method(written).unwrap().is_exclusive;
        assert!(!is_exclusive("pub fn f(&self) {}"));
        assert!(!is_exclusive("pub fn f(&'_ self) {}"));
        assert!(!is_exclusive("pub fn f(self: &Self) {}"));
        assert!(is_exclusive("pub fn f(&mut self) {}"));
        assert!(is_exclusive("pub fn f(self: &mut Self) {}"));
    }

    #[test]
    fn other_receivers_are_refused() {
        assert_eq!(method("pub fn f(self) {}").unwrap_err(), 1);
        assert_eq!(method("pub fn f(mut self) {}").unwrap_err(), 1);
        assert_eq!(method("pub fn f(&'static self) {}").unwrap_err(), 1);
        assert_eq!(method("pub fn f(self: Box<Self>) {}").unwrap_err(), 1);
        assert_eq!(method("pub fn f(self: &Arc<Self>) {}").unwrap_err(), 1);
        assert_eq!(method("pub fn f(self: Pin<&mut Self>) {}").unwrap_err(), 1);
    }

    #[test]
    fn all_that_is_wrong_with_a_method_is_told() {
        assert_eq!(method("pub async unsafe extern \"C\" fn f(&self) {}").unwrap_err(), 3);
        assert_eq!(method("pub unsafe extern \"C\" fn f(&self, n: ...) {}").unwrap_err(), 3);
        assert_eq!(method("pub fn f<T, const N: usize>(&self) where T: Copy {}").unwrap_err(), 2);
        assert_eq!(method("pub fn f(&self) where u8: Copy {}").unwrap_err(), 1);
        assert_eq!(method("pub fn f<T>(self, n: &mut u8) -> &u8 {}").unwrap_err(), 4);
    }

    #[test]
    fn a_lifetime_is_refused_once() {
        assert_eq!(method("pub fn f<'a>(&'a self, n: &'a u8, s: S<'a>) {}").unwrap_err(), 1);
    }

    #[test]
    fn a_raw_name_is_called_by_what_it_stands_for() {
        assert_eq!(method("pub fn r#type(&self) {}").unwrap().name(), "type");
    }

    #[test]
    fn a_constructor_may_fail_and_has_to_make_an_object() {
        let output = |written| constructor(written).unwrap().output;
        assert!(matches!(output("pub fn new() -> Self {}"), Output::Value(_)));
        assert!(matches!(output("pub fn new() -> mp::Result<Self> {}"), Output::Fallible { .. }));
        assert_eq!(constructor("pub fn new() {}").unwrap_err(), 1);
        assert_eq!(constructor("pub async fn new() -> Arc<Self> {}").unwrap_err(), 2);
    }
}
