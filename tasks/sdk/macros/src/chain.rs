//! How a macro learns what the types are that it only sees the names of.
//!
//! Each derive defines a macro that carries the type's name and definition; names of types and of
//! macros live apart, so whatever brings the type into scope brings its definition along. A task (or
//! a derive, for the types of its fields) calls these macros one after the other, each of which adds
//! its definition to what was collected and calls [`next`], until none is left and the goal is built:
//!
//! ```text
//! Options! { {goal} [] [crate::Size] }  →  next! { "definition of Options" {goal} [] [crate::Size] }
//! crate::Size! { {goal} ["…"] [] }      →  next! { "definition of Size" {goal} ["…"] [] }  →  the goal
//! ```

use crate::model::Closure;
use crate::{derive, task};
use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, LitStr, Path, Result, Token, bracketed};

/// What the definitions are collected for: the tokens that say so, of which the first is the kind.
pub struct Goal {
    /// `task` or `derive`.
    pub kind: &'static str,
    /// What the kind's `finish` reads.
    pub tokens: TokenStream,
}

/// Collects the definitions of the named types, then finishes the goal.
pub fn collect(goal: &Goal, paths: &[Path]) -> TokenStream {
    let kind = format_ident!("{}", goal.kind);
    let tokens = &goal.tokens;
    let goal = Group::new(Delimiter::Brace, quote!(#kind #tokens));
    step(&goal, &[], paths).unwrap_or_else(Error::into_compile_error)
}

/// Fails the compilation, with a message of ours, where a type has no definition: the macro that is
/// missing then would only say that it is missing.
pub fn checks(paths: &[Path]) -> TokenStream {
    let checks = paths
        .iter()
        .map(|path| quote_spanned!(path.span()=> const _: fn() = ::unblock::__private::crosses::<#path>;));
    quote!(#(#checks)*)
}

/// The macro that carries a definition, under the name of the type.
pub fn definition(name: &Ident, unique: &str, closure: &Closure) -> Result<TokenStream> {
    let text = serde_json::to_string(closure).map_err(|error| Error::new(name.span(), error))?;
    Ok(carrier(name, unique, &quote!(::unblock::__private::next! { #text $($state)* })))
}

/// A macro under the name of a type that is wrong: whoever asks for its definition gets silence,
/// because the mistake was told already.
pub fn no_definition(name: &Ident, unique: &str) -> TokenStream {
    carrier(name, unique, &TokenStream::new())
}

fn carrier(name: &Ident, unique: &str, body: &TokenStream) -> TokenStream {
    let carrier = format_ident!("__unblock_{unique}");
    quote! {
        #[doc(hidden)]
        #[allow(unused_macros, reason = "not every type of a task is used")]
        macro_rules! #carrier { ($($state:tt)*) => { #body } }
        #[doc(hidden)]
        #[allow(unused_imports, reason = "not every type of a task is used")]
        pub(crate) use #carrier as #name;
    }
}

/// One link: takes in a definition, goes on to the next type or finishes.
pub fn next(input: TokenStream) -> TokenStream {
    let parse = |input: ParseStream<'_>| -> Result<TokenStream> {
        let mut collected = vec![input.parse::<LitStr>()?];
        let goal: Group = input.parse()?;
        let known;
        bracketed!(known in input);
        let mut earlier = Vec::new();
        while !known.is_empty() {
            earlier.push(known.parse::<LitStr>()?);
        }
        earlier.append(&mut collected);
        let rest;
        bracketed!(rest in input);
        let paths: Vec<Path> = Punctuated::<Path, Token![,]>::parse_terminated(&rest)?.into_iter().collect();
        step(&goal, &earlier, &paths)
    };
    parse.parse2(input).unwrap_or_else(Error::into_compile_error)
}

fn step(goal: &Group, collected: &[LitStr], paths: &[Path]) -> Result<TokenStream> {
    if let Some((path, rest)) = paths.split_first() {
        return Ok(quote_spanned!(path.span()=> #path! { #goal [#(#collected)*] [#(#rest),*] }));
    }
    let read = |text: &LitStr| {
        serde_json::from_str::<Closure>(&text.value())
            .map_err(|error| Error::new(text.span(), format!("not a definition of this SDK's: {error}")))
    };
    let closures = collected.iter().map(read).collect::<Result<Vec<_>>>()?;
    let mut tokens = goal.stream().into_iter();
    match tokens.next() {
        Some(TokenTree::Ident(kind)) if kind == task::GOAL => task::finish(tokens.collect(), closures),
        Some(TokenTree::Ident(kind)) if kind == derive::GOAL => derive::finish(tokens.collect(), closures),
        other => Err(Error::new(other.to_token_stream().span(), "not a goal of this SDK's")),
    }
}
