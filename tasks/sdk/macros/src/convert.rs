//! Between the user's types and those that wit-bindgen generates for one task.
//!
//! The user's types are never named here, nor their fields: they are taken apart and put together by
//! the traits that their derives implement, and inference does the rest. So it does not matter where
//! they are defined and what of them is private.

use crate::model::{Definition, Shape, Ty};
use heck::{ToShoutySnakeCase as _, ToUpperCamelCase as _};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use wit_bindgen_rust::to_rust_ident;

/// The generated types of one task.
pub struct Generated<'a> {
    /// The module they are in.
    pub module: TokenStream,
    /// What the types' places point to.
    pub definitions: &'a [Definition],
    /// The definitions' names in WIT.
    pub type_names: &'a [Option<String>],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From what was generated to what the user wrote.
    In,
    /// The other way.
    Out,
}

impl Generated<'_> {
    /// A generated value as the user's type.
    pub fn lift(&self, value: &TokenStream, ty: &Ty) -> TokenStream {
        self.convert(value, ty, Way::In)
    }

    /// A value of the user's as the generated type.
    pub fn lower(&self, value: &TokenStream, ty: &Ty) -> TokenStream {
        self.convert(value, ty, Way::Out)
    }

    /// The generated type.
    pub fn rust(&self, ty: &Ty) -> TokenStream {
        match ty {
            Ty::Scalar(name) => {
                let name = format_ident!("{name}");
                quote!(::core::primitive::#name)
            }
            Ty::Text | Ty::BorrowedText => quote!(::std::string::String),
            Ty::List(item) => {
                let item = self.rust(item);
                quote!(::std::vec::Vec<#item>)
            }
            Ty::Option(item) => {
                let item = self.rust(item);
                quote!(::core::option::Option<#item>)
            }
            Ty::Result(ok, err) => {
                let side =
                    |side: &Option<Box<Ty>>| side.as_ref().map_or_else(|| quote!(()), |ty| self.rust(ty));
                let (ok, err) = (side(ok), side(err));
                quote!(::core::result::Result<#ok, #err>)
            }
            Ty::Tuple(items) => {
                let items = items.iter().map(|item| self.rust(item));
                quote!((#(#items,)*))
            }
            Ty::Named(place) => self.named(*place).unwrap_or_else(|| quote!(())),
        }
    }

    fn named(&self, place: usize) -> Option<TokenStream> {
        let name = format_ident!("{}", self.type_names.get(place)?.as_ref()?.to_upper_camel_case());
        let module = &self.module;
        Some(quote!(#module::#name))
    }

    /// Whether the type on both sides is the same, so that the value may stay as it is.
    fn same(ty: &Ty) -> bool {
        match ty {
            Ty::Scalar(_) | Ty::Text => true,
            Ty::BorrowedText | Ty::Named(_) => false,
            Ty::List(item) | Ty::Option(item) => Self::same(item),
            Ty::Result(ok, err) => [ok, err].into_iter().flatten().all(|side| Self::same(side)),
            Ty::Tuple(items) => items.iter().all(Self::same),
        }
    }

    fn convert(&self, value: &TokenStream, ty: &Ty, way: Way) -> TokenStream {
        if Self::same(ty) {
            return value.clone();
        }
        let inner = |ty: &Ty| self.convert(&quote!(value), ty, way);
        match ty {
            Ty::Scalar(_) | Ty::Text => value.clone(),
            Ty::BorrowedText => quote!(::std::string::String::from(#value)),
            Ty::List(item) => {
                let item = inner(item);
                quote!(::unblock::__private::list(#value, |value| #item))
            }
            Ty::Option(item) => {
                let item = inner(item);
                quote!(::core::option::Option::map(#value, |value| #item))
            }
            Ty::Result(ok, err) => {
                let side =
                    |side: &Option<Box<Ty>>| side.as_ref().map_or_else(|| quote!(value), |ty| inner(ty));
                let (ok, err) = (side(ok), side(err));
                quote!(match #value {
                    ::core::result::Result::Ok(value) => ::core::result::Result::Ok(#ok),
                    ::core::result::Result::Err(value) => ::core::result::Result::Err(#err),
                })
            }
            Ty::Tuple(items) => self.tuple(value, items, way),
            Ty::Named(place) => match (self.definitions.get(*place), self.named(*place)) {
                (Some(definition), Some(name)) => self.definition(value, definition, &name, way),
                _ => value.clone(),
            },
        }
    }

    fn tuple(&self, value: &TokenStream, items: &[Ty], way: Way) -> TokenStream {
        let names = idents(items.len());
        let converted = names.iter().zip(items).map(|(name, item)| self.convert(&quote!(#name), item, way));
        quote!({ let (#(#names,)*) = #value; (#(#converted,)*) })
    }

    fn definition(
        &self,
        value: &TokenStream,
        definition: &Definition,
        name: &TokenStream,
        way: Way,
    ) -> TokenStream {
        let from_parts = quote!(::unblock::__private::FromParts::from_parts);
        let into_parts = quote!(::unblock::__private::IntoParts::into_parts(#value));
        match (&definition.shape, way) {
            (Shape::Record(fields), way) => {
                let parts = idents(fields.len());
                let members: Vec<Ident> = fields
                    .iter()
                    .map(|(member, _)| format_ident!("{}", to_rust_ident(&member.name)))
                    .collect();
                let converted: Vec<TokenStream> = parts
                    .iter()
                    .zip(fields)
                    .map(|(part, (_, ty))| self.convert(&quote!(#part), ty, way))
                    .collect();
                match way {
                    Way::In => quote!({
                        let #name { #(#members: #parts),* } = #value;
                        #from_parts((#(#converted,)*))
                    }),
                    Way::Out => quote!({
                        let (#(#parts,)*) = #into_parts;
                        #name { #(#members: #converted),* }
                    }),
                }
            }
            (Shape::Variant(cases), way) => self.variant(value, cases, name, way),
            (Shape::Enum(cases), way) => {
                let cases: Vec<Ident> =
                    cases.iter().map(|case| format_ident!("{}", case.name.to_upper_camel_case())).collect();
                let indices: Vec<u32> = (0..).take(cases.len()).collect();
                match way {
                    Way::In => quote!(#from_parts(match #value { #(#name::#cases => #indices,)* })),
                    Way::Out => {
                        let (last, others) = match cases.split_last() {
                            Some((last, others)) => (quote!(#name::#last), others),
                            None => (value.clone(), [].as_slice()),
                        };
                        let known = indices.get(..others.len()).unwrap_or_default();
                        quote!(match #into_parts { #(#known => #name::#others,)* _ => #last })
                    }
                }
            }
            (Shape::Flags(flags), way) => {
                let flags: Vec<Ident> =
                    flags.iter().map(|flag| format_ident!("{}", flag.name.to_shouty_snake_case())).collect();
                let parts = idents(flags.len());
                match way {
                    Way::In => quote!({
                        let value = #value;
                        #from_parts((#(value.contains(#name::#flags),)*))
                    }),
                    Way::Out => quote!({
                        let (#(#parts,)*) = #into_parts;
                        let mut flags = #name::empty();
                        #(flags.set(#name::#flags, #parts);)*
                        flags
                    }),
                }
            }
            (Shape::Body | Shape::Raw, _) => value.clone(),
        }
    }

    fn variant(
        &self,
        value: &TokenStream,
        cases: &[(crate::model::Member, Vec<Ty>)],
        name: &TokenStream,
        way: Way,
    ) -> TokenStream {
        let or = quote!(::unblock::__private::Or);
        let mut arms = Vec::new();
        let mut taken = quote!(match value {});
        for (index, (member, values)) in cases.iter().enumerate().rev() {
            let case = format_ident!("{}", member.name.to_upper_camel_case());
            let converted = match values.as_slice() {
                [] => quote!(()),
                [one] => self.convert(&quote!(value), one, way),
                several => self.tuple(&quote!(value), several, way),
            };
            let pattern = if values.is_empty() { quote!(#name::#case) } else { quote!(#name::#case(value)) };
            match way {
                Way::In => {
                    let nested =
                        (0..index).fold(quote!(#or::This(#converted)), |inner, _| quote!(#or::That(#inner)));
                    arms.push(quote!(#pattern => #nested));
                }
                Way::Out => {
                    let (part, built) = match values.is_empty() {
                        true => (quote!(()), quote!(#name::#case)),
                        false => (quote!(value), quote!(#name::#case(#converted))),
                    };
                    taken = quote!(match value { #or::This(#part) => #built, #or::That(value) => #taken });
                }
            }
        }
        match way {
            Way::In => quote!(::unblock::__private::FromParts::from_parts(match #value { #(#arms,)* })),
            Way::Out => quote!({
                let value = ::unblock::__private::IntoParts::into_parts(#value);
                #taken
            }),
        }
    }
}

fn idents(count: usize) -> Vec<Ident> {
    (0..count).map(|index| format_ident!("part_{index}")).collect()
}
