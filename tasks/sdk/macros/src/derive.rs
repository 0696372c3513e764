//! The derives: read a struct or an enum, write its definition down, and take values of it apart.
//!
//! Parts are tuples for structs and nested `Or`s for enums with values; they let a task in another
//! module convert a type without naming it, its fields or its cases (`convert.rs`).

use crate::chain::{self, Goal};
use crate::model::{Closure, Definition, Member, Shape, Table, Ty};
use crate::names;
use crate::types::{self, Names};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use syn::parse::{ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, Path, Result, Token, Type, bracketed};

/// The first token of a derive's goal.
pub const GOAL: &str = "derive";

/// Flags that a component may have: engines take no more.
const FLAGS_MAX: usize = 32;

/// Cases with values: each is one level of nesting for the compiler.
const CASES_MAX: usize = 100;

/// Which derive was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `#[derive(unblock::Record)]`
    Record,
    /// `#[derive(unblock::Variant)]`
    Variant,
    /// `#[derive(unblock::Enum)]`
    Enum,
    /// `#[derive(unblock::Flags)]`
    Flags,
}

/// What was read of the type.
struct Read {
    shape: Shape,
    names: Names,
    parts: TokenStream,
}

/// All that a derive adds.
pub fn expand(item: TokenStream, kind: Kind) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item.clone()) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let name = &input.ident;
    let unique = unique(name, &item);
    let (generics, arguments, clause) = input.generics.split_for_impl();
    let marker = quote!(impl #generics ::unblock::__private::Crosses for #name #arguments #clause {});
    let finished = read(&input, kind).and_then(|Read { shape, names, parts }| {
        let docs = names::docs(&input.attrs);
        let definition = Definition { id: unique.clone(), name: name.to_string(), docs, shape };
        let text = serde_json::to_string(&definition).map_err(|error| Error::new(name.span(), error))?;
        let Names { paths } = names;
        let checks = chain::checks(&paths);
        let tokens = quote!(#text #unique #name [#(#paths),*]);
        let definition = chain::collect(&Goal { kind: GOAL, tokens }, &paths);
        Ok(quote!(#marker #parts #checks #definition))
    });
    finished.unwrap_or_else(|error| {
        let error = error.into_compile_error();
        let silence = chain::no_definition(name, &unique);
        quote!(#error #marker #silence)
    })
}

/// The last link: all definitions are there, and become one macro.
pub fn finish(goal: TokenStream, closures: Vec<Closure>) -> Result<TokenStream> {
    let parse = |input: ParseStream<'_>| {
        let (definition, unique): (LitStr, LitStr) = (input.parse()?, input.parse()?);
        let name: Ident = input.parse()?;
        let paths;
        bracketed!(paths in input);
        let paths = Punctuated::<Path, Token![,]>::parse_terminated(&paths)?;
        Ok((definition, unique, name, paths))
    };
    let (text, unique, name, paths) = parse.parse2(goal)?;
    let mut own: Definition =
        serde_json::from_str(&text.value()).map_err(|error| Error::new(text.span(), error))?;
    let mut table = Table::default();
    let mut places = Vec::new();
    for (closure, path) in closures.into_iter().zip(&paths) {
        let place = table.add(closure).unwrap_or(usize::MAX);
        let shape = table.definitions.get(place).map(|definition| &definition.shape);
        let advice = match shape {
            Some(Shape::Body) => "can only be a parameter of a task: use `Vec<u8>` here",
            Some(Shape::Raw) => "can only be the result of a task: use `Vec<u8>` here",
            Some(_) => {
                places.push(place);
                continue;
            }
            None => "has no definition",
        };
        let error = Error::new(path.span(), format!("this type {advice}")).into_compile_error();
        let silence = chain::no_definition(&name, &unique.value());
        return Ok(quote!(#error #silence));
    }
    own.shape.each_type(&mut |ty| ty.moved(&places));
    table.definitions.push(own);
    let closure = Closure { root: table.definitions.len() - 1, definitions: table.definitions };
    chain::definition(&name, &unique.value(), &closure)
}

/// A name for the definition that no other type's has, in whatever module and file it stands.
fn unique(name: &Ident, item: &TokenStream) -> String {
    let mut hasher = DefaultHasher::new();
    let place = name.span().unwrap();
    (place.file(), place.line(), place.column(), item.to_string()).hash(&mut hasher);
    format!("{name}_{:016x}", hasher.finish())
}

fn read(input: &DeriveInput, kind: Kind) -> Result<Read> {
    let name = &input.ident;
    if let Some(parameter) = input.generics.params.first() {
        let text = "a generic type cannot cross: write its types out, one struct or enum for each";
        return Err(Error::new(parameter.span(), text));
    }
    let read = match (&input.data, kind) {
        (Data::Struct(item), Kind::Record) => record(name, &item.fields),
        (Data::Struct(item), Kind::Flags) => flags(name, &item.fields),
        (Data::Enum(item), Kind::Variant) => variant(name, &item.variants),
        (Data::Enum(item), Kind::Enum) => plain_enum(name, &item.variants),
        (Data::Enum(_), Kind::Record | Kind::Flags) => Err(Error::new(
            name.span(),
            "this is an enum: derive `unblock::Enum` if no case carries a value, or else `unblock::Variant`",
        )),
        (Data::Struct(_), Kind::Variant | Kind::Enum) => {
            Err(Error::new(name.span(), "this is a struct: derive `unblock::Record`"))
        }
        (Data::Union(_), _) => {
            Err(Error::new(name.span(), "a union cannot cross: use an enum that derives `unblock::Variant`"))
        }
    }?;
    match read.names.paths.iter().find(|path| path.is_ident(name) || path.is_ident("Self")) {
        Some(path) => Err(Error::new(
            path.span(),
            "a type cannot contain itself: pass a flat list, whose items name each other by their index",
        )),
        None => Ok(read),
    }
}

fn member(ident: &Ident, attributes: &[syn::Attribute], seen: &mut Vec<String>) -> Result<Member> {
    let name = names::kebab(ident)?;
    if seen.contains(&name) {
        return Err(Error::new(
            ident.span(),
            format!("two names here are `{name}` in WIT: rename one of them"),
        ));
    }
    seen.push(name.clone());
    Ok(Member { name, docs: names::docs(attributes) })
}

/// The fields of a struct that has some, with names.
fn named_fields<'a>(name: &Ident, fields: &'a Fields) -> Result<Vec<(&'a Ident, &'a Field)>> {
    let Fields::Named(named) = fields else {
        let text = "name the fields, `struct Size { width: u32 }`: callers pass a JSON object";
        return Err(Error::new(name.span(), text));
    };
    let found: Vec<_> = named.named.iter().filter_map(|field| Some((field.ident.as_ref()?, field))).collect();
    match found.is_empty() {
        true => Err(Error::new(
            name.span(),
            "a struct without fields cannot cross: leave it away, or give it a field",
        )),
        false => Ok(found),
    }
}

fn record(name: &Ident, fields: &Fields) -> Result<Read> {
    let (mut names, mut seen, mut members) = (Names::default(), Vec::new(), Vec::new());
    let fields = named_fields(name, fields)?;
    for (ident, field) in &fields {
        let member = member(ident, &field.attrs, &mut seen)?;
        members.push((member, types::field(&field.ty, &mut names)?));
    }
    let idents: Vec<&Ident> = fields.iter().map(|(ident, _)| *ident).collect();
    let types: Vec<&Type> = fields.iter().map(|(_, field)| &field.ty).collect();
    let parts = struct_parts(name, &idents, &types);
    Ok(Read { shape: Shape::Record(members), names, parts })
}

fn flags(name: &Ident, fields: &Fields) -> Result<Read> {
    let (mut seen, mut members) = (Vec::new(), Vec::new());
    let fields = named_fields(name, fields)?;
    for (ident, field) in &fields {
        members.push(member(ident, &field.attrs, &mut seen)?);
        if !matches!(&field.ty, Type::Path(path) if path.path.is_ident("bool")) {
            let text = "each flag is a `bool`; for other fields derive `unblock::Record`";
            return Err(Error::new(field.ty.span(), text));
        }
    }
    if members.len() > FLAGS_MAX {
        let text =
            format!("{} flags are too many, {FLAGS_MAX} can cross: use a `Vec` of an enum", members.len());
        return Err(Error::new(name.span(), text));
    }
    let idents: Vec<&Ident> = fields.iter().map(|(ident, _)| *ident).collect();
    let types: Vec<&Type> = fields.iter().map(|(_, field)| &field.ty).collect();
    let parts = struct_parts(name, &idents, &types);
    Ok(Read { shape: Shape::Flags(members), names: Names::default(), parts })
}

fn struct_parts(name: &Ident, fields: &[&Ident], types: &[&Type]) -> TokenStream {
    let values: Vec<Ident> = (0..fields.len()).map(|index| format_ident!("field_{index}")).collect();
    quote! {
        impl ::unblock::__private::IntoParts<(#(#types,)*)> for #name {
            fn into_parts(self) -> (#(#types,)*) {
                let Self { #(#fields: #values),* } = self;
                (#(#values,)*)
            }
        }
        impl ::unblock::__private::FromParts<(#(#types,)*)> for #name {
            fn from_parts((#(#values,)*): (#(#types,)*)) -> Self {
                Self { #(#fields: #values),* }
            }
        }
    }
}

type Cases = Punctuated<syn::Variant, Token![,]>;

fn cases(name: &Ident, cases: &Cases) -> Result<()> {
    match cases.is_empty() {
        true => Err(Error::new(name.span(), "an enum without cases cannot cross: give it one, or use `()`")),
        false => Ok(()),
    }
}

fn plain_enum(name: &Ident, variants: &Cases) -> Result<Read> {
    cases(name, variants)?;
    let (mut seen, mut members) = (Vec::new(), Vec::new());
    for case in variants {
        if !matches!(case.fields, Fields::Unit) {
            let text = "a case with values needs `unblock::Variant` in the place of `unblock::Enum`";
            return Err(Error::new(case.fields.span(), text));
        }
        members.push(member(&case.ident, &case.attrs, &mut seen)?);
    }
    let idents: Vec<&Ident> = variants.iter().map(|case| &case.ident).collect();
    let indices: Vec<u32> = (0..).take(idents.len()).collect();
    let (Some((last, others)), Some((_, known))) = (idents.split_last(), indices.split_last()) else {
        return Err(Error::new(name.span(), "an enum without cases cannot cross"));
    };
    let parts = quote! {
        impl ::unblock::__private::IntoParts<u32> for #name {
            fn into_parts(self) -> u32 {
                match self { #(Self::#idents => #indices,)* }
            }
        }
        impl ::unblock::__private::FromParts<u32> for #name {
            fn from_parts(index: u32) -> Self {
                // The generated enum has as many cases as this one.
                match index { #(#known => Self::#others,)* _ => Self::#last }
            }
        }
    };
    Ok(Read { shape: Shape::Enum(members), names: Names::default(), parts })
}

fn variant(name: &Ident, variants: &Cases) -> Result<Read> {
    cases(name, variants)?;
    if variants.len() > CASES_MAX {
        let text = format!("{} cases are too many, {CASES_MAX} can cross: group them", variants.len());
        return Err(Error::new(name.span(), text));
    }
    let (mut names, mut seen, mut members) = (Names::default(), Vec::new(), Vec::new());
    for case in variants {
        let member = member(&case.ident, &case.attrs, &mut seen)?;
        if let Fields::Named(fields) = &case.fields {
            let text =
                "move the fields into a struct that derives `unblock::Record`, and let the case carry it";
            return Err(Error::new(fields.span(), text));
        }
        let values = case.fields.iter().map(|field| types::field(&field.ty, &mut names));
        members.push((member, values.collect::<Result<Vec<Ty>>>()?));
    }
    let parts = variant_parts(name, variants);
    Ok(Read { shape: Shape::Variant(members), names, parts })
}

/// A case is `This`, after one `That` for each case before it.
fn variant_parts(name: &Ident, variants: &Cases) -> TokenStream {
    let or = quote!(::unblock::__private::Or);
    let mut whole = quote!(::unblock::__private::Never);
    let mut build = quote!(match rest {});
    let mut take = Vec::new();
    for (index, case) in variants.iter().enumerate().rev() {
        let ident = &case.ident;
        let types: Vec<&Type> = case.fields.iter().map(|field| &field.ty).collect();
        let values: Vec<Ident> = (0..types.len()).map(|index| format_ident!("value_{index}")).collect();
        let (pattern, part, payload) = match types.as_slice() {
            [] => (quote!(Self::#ident {}), quote!(()), quote!(())),
            [one] => (quote!(Self::#ident(value_0)), quote!(#one), quote!(value_0)),
            _ => (quote!(Self::#ident(#(#values),*)), quote!((#(#types,)*)), quote!((#(#values,)*))),
        };
        whole = quote!(#or<#part, #whole>);
        build = quote!(match rest { #or::This(#payload) => #pattern, #or::That(rest) => #build });
        let nested = (0..index).fold(quote!(#or::This(#payload)), |inner, _| quote!(#or::That(#inner)));
        take.push(quote!(#pattern => #nested));
    }
    quote! {
        impl ::unblock::__private::IntoParts<#whole> for #name {
            fn into_parts(self) -> #whole {
                match self { #(#take,)* }
            }
        }
        impl ::unblock::__private::FromParts<#whole> for #name {
            fn from_parts(rest: #whole) -> Self {
                #build
            }
        }
    }
}
