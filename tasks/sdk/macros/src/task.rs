//! `#[unblock::task]`: a function, and beside it a module that exports it.
//!
//! The attribute reads the signature and starts the chain that collects definitions (`chain.rs`);
//! `finish` reads the signature again, now with all definitions at hand, and writes the module:
//! wit-bindgen's bindings, the function behind them, and as custom sections the documentation and
//! whether bodies are raw.

use crate::chain::{self, Goal};
use crate::convert::Generated;
use crate::model::{Closure, Shape, Table, Ty};
use crate::names;
use crate::types::{self, Names, Passing};
use crate::wit;
use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, ItemFn, LitStr, Pat, Result, ReturnType, Signature};
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::{Opts, to_rust_ident};

/// The first token of a task's goal.
pub const GOAL: &str = "task";

/// All that the attribute makes of a function.
pub fn attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let added = added(arguments, item.clone()).unwrap_or_else(Error::into_compile_error);
    quote!(#item #added)
}

fn added(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let span = Span::call_site();
    let function: ItemFn = syn::parse2(item).map_err(|_| {
        Error::new(span, "`#[unblock::task]` stands on a function: `fn greet(name: String) -> String { … }`")
    })?;
    let signature = &function.sig;
    let name = match renamed(arguments)? {
        Some(name) => names::from_text(&name.value(), name.span())?,
        None => names::kebab(&signature.ident)?,
    };
    plain(signature)?;
    let (_, names) = read(signature)?;
    let checks = chain::checks(&names.paths);
    let docs = names::docs(&function.attrs);
    let chain = chain::collect(&Goal { kind: GOAL, tokens: quote!(#name #docs #signature) }, &names.paths);
    Ok(quote!(#checks #chain))
}

/// The only argument: `name = "…"`.
fn renamed(arguments: TokenStream) -> Result<Option<LitStr>> {
    let mut name = None;
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("name") {
            return Err(
                meta.error("`#[unblock::task]` takes nothing, or `name = \"…\"`, the name that callers use")
            );
        }
        name = Some(meta.value()?.parse::<LitStr>()?);
        Ok(())
    });
    parser.parse2(arguments)?;
    Ok(name)
}

/// Refuses what a signature of a task has no use for.
fn plain(signature: &Signature) -> Result<()> {
    let refuse = |span: Span, text: &str| Err(Error::new(span, text));
    if let Some(token) = &signature.asyncness {
        return refuse(
            token.span,
            "a task is a plain function: sleep, loop and block as you like, nobody waits",
        );
    }
    if let Some(token) = &signature.unsafety {
        return refuse(token.span, "a task cannot be unsafe: its caller knows nothing of memory");
    }
    if let Some(abi) = &signature.abi {
        return refuse(abi.span(), "a task has no ABI of its own: leave it away");
    }
    if let Some(variadic) = &signature.variadic {
        return refuse(variadic.span(), "a task has a fixed number of parameters: use `Vec<T>`");
    }
    let mut generics = signature.generics.params.iter();
    match generics.find(|parameter| !matches!(parameter, syn::GenericParam::Lifetime(_))) {
        Some(parameter) => refuse(parameter.span(), "a task cannot be generic: name the types"),
        None => Ok(()),
    }
}

/// The signature in terms of what crosses.
struct Parts {
    params: Vec<Param>,
    result: Option<Ty>,
}

struct Param {
    /// Its name in WIT.
    name: String,
    ty: Ty,
    passing: Passing,
    span: Span,
}

fn read(signature: &Signature) -> Result<(Parts, Names)> {
    let mut names = Names::default();
    let mut params: Vec<Param> = Vec::new();
    let mut errors: Option<Error> = None;
    let mut keep = |error: Error| match &mut errors {
        Some(errors) => errors.combine(error),
        None => errors = Some(error),
    };
    for input in &signature.inputs {
        match param(input, &mut names) {
            Ok(param) if params.iter().any(|known| known.name == param.name) => {
                let text = format!("two parameters are `{}` in WIT: rename one of them", param.name);
                keep(Error::new(input.span(), text));
            }
            Ok(param) => params.push(param),
            Err(error) => keep(error),
        }
    }
    let result = types::output(&signature.output, &mut names).unwrap_or_else(|error| {
        keep(error);
        None
    });
    match errors {
        Some(errors) => Err(errors),
        None => Ok((Parts { params, result }, names)),
    }
}

fn param(input: &FnArg, names: &mut Names) -> Result<Param> {
    let FnArg::Typed(input) = input else {
        return Err(Error::new(
            input.span(),
            "a task is a function by itself: there is no `self` to call it on",
        ));
    };
    let Pat::Ident(pattern) = &*input.pat else {
        return Err(Error::new(input.pat.span(), "name the parameter: callers pass it by its name"));
    };
    let name = names::kebab(&pattern.ident)?;
    let (ty, passing) = types::parameter(&input.ty, names)?;
    Ok(Param { name, ty, passing, span: input.ty.span() })
}

/// The last link: all definitions are there, and the module is written.
pub fn finish(goal: TokenStream, closures: Vec<Closure>) -> Result<TokenStream> {
    let parse = |input: ParseStream<'_>| {
        Ok((input.parse::<LitStr>()?, input.parse::<LitStr>()?, input.parse::<Signature>()?))
    };
    let (name, docs, signature) = parse.parse2(goal)?;
    let (mut parts, _) = read(&signature)?;
    let mut table = Table::default();
    let places: Vec<usize> = closures.into_iter().filter_map(|closure| table.add(closure)).collect();
    parts.params.iter_mut().for_each(|param| param.ty.moved(&places));
    parts.result.iter_mut().for_each(|ty| ty.moved(&places));
    let raw = raw(&parts, &table, &signature)?;
    Ok(module(&name.value(), &docs.value(), &signature, &parts, &raw, &table))
}

/// Which parts of the signature are the raw bodies, which are no part of the interface.
struct RawBodies {
    /// The parameter that is the request's body.
    body: Option<usize>,
    /// Whether the function answers with a raw body.
    answer: bool,
}

impl RawBodies {
    /// The function's line in the section `unblock:raw`, which tells the gateway whose bodies are raw;
    /// the linker puts the lines of all functions together.
    fn told(&self, name: &str) -> Option<String> {
        match (self.body.is_some(), self.answer) {
            (false, false) => None,
            (true, false) => Some(format!("{name} body\n")),
            (false, true) => Some(format!("{name} answer\n")),
            (true, true) => Some(format!("{name} body answer\n")),
        }
    }
}

fn raw(parts: &Parts, table: &Table, signature: &Signature) -> Result<RawBodies> {
    let is = |ty: &Ty, shape: &Shape| match ty {
        Ty::Named(place) => table.definitions.get(*place).is_some_and(|found| found.shape == *shape),
        _ => false,
    };
    let within = |ty: &Ty, shape: &Shape| ty.named().into_iter().any(|place| is(&Ty::Named(place), shape));
    let mut body = None;
    for (index, param) in parts.params.iter().enumerate() {
        let refuse = |text: &str| Err(Error::new(param.span, text));
        if within(&param.ty, &Shape::Raw) {
            return refuse("`unblock::Raw` is an answer: take the request's body as `unblock::Body`");
        }
        match is(&param.ty, &Shape::Body) && param.passing == Passing::Value {
            true if body.is_some() => return refuse("a request has one body"),
            true => body = Some(index),
            false if within(&param.ty, &Shape::Body) => {
                return refuse("take the request's body as a parameter of its own, `body: unblock::Body`");
            }
            false => {}
        }
    }
    let span = match &signature.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => Span::call_site(),
    };
    let (answer, rest) = match &parts.result {
        Some(ty) if is(ty, &Shape::Raw) => (true, None),
        Some(Ty::Result(Some(ok), err)) if is(ok, &Shape::Raw) => (true, err.as_deref()),
        other => (false, other.as_ref()),
    };
    match rest {
        Some(rest) if within(rest, &Shape::Raw) => {
            Err(Error::new(span, "`unblock::Raw` is a whole answer: return `Raw` or `Result<Raw, E>`"))
        }
        Some(rest) if within(rest, &Shape::Body) => {
            Err(Error::new(span, "`unblock::Body` is the request's: answer with `unblock::Raw`"))
        }
        _ => Ok(RawBodies { body, answer }),
    }
}

fn module(
    name: &str,
    docs: &str,
    signature: &Signature,
    parts: &Parts,
    raw: &RawBodies,
    table: &Table,
) -> TokenStream {
    let definitions = &table.definitions;
    let type_names = wit::type_names(name, definitions);
    let params: Vec<(String, Ty)> = parts
        .params
        .iter()
        .enumerate()
        .filter(|(index, _)| raw.body != Some(*index))
        .map(|(_, param)| (param.name.clone(), param.ty.clone()))
        .collect();
    let result = match (&parts.result, raw.answer) {
        (Some(Ty::Result(_, err)), true) => Some(Ty::Result(None, err.clone())),
        (_, true) | (None, _) => None,
        (Some(ty), false) => Some(ty.clone()),
    };
    let function = wit::Function {
        name,
        docs,
        params: &params,
        result: result.as_ref(),
        definitions,
        type_names: &type_names,
    };
    let (bindings, section) = match bindings(&function) {
        Ok(made) => made,
        Err(error) => {
            let text =
                format!("the interface of this task is not understood, a mistake of the SDK's: {error:#}");
            return Error::new(signature.ident.span(), text).into_compile_error();
        }
    };
    let exports = format_ident!("{}", to_rust_ident(name));
    let generated =
        Generated { module: quote!(self::exports::#exports), definitions, type_names: &type_names };
    let implementation = implementation(signature, parts, raw, result.as_ref(), &generated, &exports);
    let section_bytes = Literal::byte_string(&section);
    let section_length = section.len();
    let module = format_ident!("__unblock_task_{}", signature.ident.unraw());
    let raw_use = raw.told(name).map(|line| {
        let (bytes, length) = (Literal::byte_string(line.as_bytes()), line.len());
        quote! {
            #[cfg(target_family = "wasm")]
            #[used]
            #[unsafe(link_section = "unblock:raw")]
            static RAW_BODIES: [u8; #length] = *#bytes;
        }
    });
    quote! {
        #[doc(hidden)]
        #[allow(warnings, unsafe_code, clippy::all, clippy::pedantic, clippy::restriction, reason = "generated")]
        mod #module {
            #bindings

            pub struct Task;

            #implementation

            self::export!(Task);

            #[cfg(target_family = "wasm")]
            #[used]
            #[unsafe(link_section = "package-docs")]
            static PACKAGE_DOCS: [u8; #section_length] = *#section_bytes;

            #raw_use
        }
    }
}

/// What wit-bindgen makes of the interface, and the documentation for the gateway.
fn bindings(function: &wit::Function<'_>) -> anyhow::Result<(TokenStream, Vec<u8>)> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("task.wit", &function.package())?;
    let world = resolve.select_world(&[package], None)?;
    // What the task is for stands in its Cargo.toml.
    let task = std::env::var("CARGO_PKG_DESCRIPTION").unwrap_or_default();
    let section = wit::docs_section(&resolve, package, &task)?;
    let options = Opts { runtime_path: Some("::unblock::__private::rt".to_owned()), ..Opts::default() };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let mut source = String::new();
    for (_, contents) in files.iter() {
        source.push_str(std::str::from_utf8(contents)?);
    }
    let tokens = source.parse::<TokenStream>().map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok((tokens, section))
}

/// The generated trait's implementation: arguments in, the user's function, its result out.
fn implementation(
    signature: &Signature,
    parts: &Parts,
    raw: &RawBodies,
    result: Option<&Ty>,
    generated: &Generated<'_>,
    exports: &Ident,
) -> TokenStream {
    let (mut declared, mut lifted, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    for (index, param) in parts.params.iter().enumerate() {
        let name = format_ident!("argument_{index}");
        if raw.body == Some(index) {
            passed.push(quote!(::unblock::__private::request_body()));
            continue;
        }
        let ty = generated.rust(&param.ty);
        declared.push(quote!(#name: #ty));
        let value = generated.lift(&quote!(#name), &param.ty);
        lifted.push(quote!(let #name = #value;));
        passed.push(match param.passing {
            Passing::Value => quote!(#name),
            Passing::Reference => quote!(&#name),
            Passing::OptionalReference => quote!(#name.as_deref()),
        });
    }
    let function = &signature.ident;
    let answer = quote!(super::#function(#(#passed),*));
    let lowered = match (&parts.result, raw.answer) {
        (Some(Ty::Result(_, err)), true) => {
            let err = err.as_ref().map_or_else(|| quote!(error), |ty| generated.lower(&quote!(error), ty));
            quote!(match #answer {
                ::core::result::Result::Ok(raw) => ::core::result::Result::Ok(::unblock::__private::answer(raw)),
                ::core::result::Result::Err(error) => ::core::result::Result::Err(#err),
            })
        }
        (_, true) => quote!(::unblock::__private::answer(#answer)),
        (Some(ty), false) => {
            let value = generated.lower(&quote!(result), ty);
            quote!({ let result = #answer; #value })
        }
        (None, false) => answer,
    };
    let returns = result.map(|ty| {
        let ty = generated.rust(ty);
        quote!(-> #ty)
    });
    quote! {
        impl self::exports::#exports::Guest for Task {
            fn #exports(#(#declared),*) #returns {
                #(#lifted)*
                #lowered
            }
        }
    }
}
