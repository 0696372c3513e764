//! From the types a user writes to those that cross, or an error that says what to write instead.
//!
//! Types with a definition of their own are only noted here, in order; `chain.rs` finds out what
//! they are. Std's types are known by name, since a macro has nothing else.

use crate::model::Ty;
use quote::ToTokens;
use syn::spanned::Spanned as _;
use syn::{Error, GenericArgument, Path, PathArguments, Result, ReturnType, Type};

/// The named types that were met, each once, in order.
#[derive(Default)]
pub struct Names {
    /// As the user wrote them.
    pub paths: Vec<Path>,
}

/// How a parameter is handed over to the user's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// As it is.
    Value,
    /// `&T`: the value stays with the caller.
    Reference,
    /// `Option<&str>`, `Option<&[T]>`.
    OptionalReference,
}

/// Where a type stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a parameter or a field, where the value must be owned.
    Owned,
    /// In a result, where a `&str` may be copied.
    Result,
}

/// The type of a parameter.
pub fn parameter(ty: &Type, names: &mut Names) -> Result<(Ty, Passing)> {
    if let Some(target) = borrowed(ty)? {
        return Ok((target_type(target, names)?, Passing::Reference));
    }
    if let Some(Type::Reference(_)) = option_item(ty).map(ungrouped)
        && let Some(item) = option_item(ty)
        && let Some(target) = borrowed(item)?
        && matches!(target, Type::Slice(_) | Type::Path(_))
    {
        let slice = matches!(target, Type::Slice(_)) || is_str(target);
        if slice {
            return Ok((Ty::Option(Box::new(target_type(target, names)?)), Passing::OptionalReference));
        }
    }
    Ok((cross(ty, names, Place::Owned)?, Passing::Value))
}

/// The type of a field or of a case's value.
pub fn field(ty: &Type, names: &mut Names) -> Result<Ty> {
    cross(ty, names, Place::Owned)
}

/// The type of a result; `None` for nothing.
pub fn output(output: &ReturnType, names: &mut Names) -> Result<Option<Ty>> {
    match output {
        ReturnType::Default => Ok(None),
        ReturnType::Type(_, ty) => optional(ty, names, Place::Result),
    }
}

/// Like [`cross`], where `()` is allowed.
fn optional(ty: &Type, names: &mut Names, place: Place) -> Result<Option<Ty>> {
    match ungrouped(ty) {
        Type::Tuple(tuple) if tuple.elems.is_empty() => Ok(None),
        ty => cross(ty, names, place).map(Some),
    }
}

fn cross(ty: &Type, names: &mut Names, place: Place) -> Result<Ty> {
    let instead = |what: &str| Err(cannot(ty, what));
    match ungrouped(ty) {
        Type::Path(path) if path.qself.is_none() => named(ty, &path.path, names, place),
        Type::Path(_) => instead("write the type itself, a macro cannot look into a trait"),
        Type::Tuple(tuple) if tuple.elems.is_empty() => {
            instead("`()` is only good as a result, or as a side of a `Result`")
        }
        Type::Tuple(tuple) => {
            let items = tuple.elems.iter().map(|item| cross(item, names, place));
            Ok(Ty::Tuple(items.collect::<Result<_>>()?))
        }
        Type::Reference(reference) if is_str(&reference.elem) && place == Place::Result => {
            Ok(Ty::BorrowedText)
        }
        Type::Reference(reference) if is_str(&reference.elem) => instead("use `String`"),
        Type::Reference(reference) if matches!(*reference.elem, Type::Slice(_)) => instead("use `Vec<T>`"),
        Type::Reference(_) => instead("use the value itself: nothing outlives a call"),
        Type::Array(_) => instead("use `Vec<T>`, or a tuple for a few values"),
        Type::Slice(_) => instead("use `Vec<T>`, or `&[T]` as a parameter"),
        Type::ImplTrait(_) => instead("name a concrete type, such as `Vec<T>` or `String`"),
        Type::TraitObject(_) => instead(
            "name a concrete type; for an error that is `String`: `.map_err(|error| error.to_string())`",
        ),
        Type::BareFn(_) => instead("a function cannot leave the sandbox; pass data"),
        Type::Ptr(_) => instead("an address means nothing outside of the sandbox; use `Vec<T>` or the value"),
        Type::Never(_) => {
            instead("leave the result away: a function that never returns runs into its limits")
        }
        Type::Infer(_) => instead("name the type"),
        Type::Macro(_) => instead("write the type itself, a macro cannot look into another one"),
        _ => instead(
            "use numbers, `bool`, `char`, `String`, `Vec`, `Option`, `Result`, tuples, or a type with a derive of `unblock`",
        ),
    }
}

fn named(ty: &Type, path: &Path, names: &mut Names, place: Place) -> Result<Ty> {
    let Some(last) = path.segments.last() else { return Err(cannot(ty, "name the type")) };
    let name = last.ident.to_string();
    let arguments = match &last.arguments {
        PathArguments::None => Vec::new(),
        PathArguments::AngleBracketed(arguments) => arguments.args.iter().collect(),
        PathArguments::Parenthesized(_) => {
            return Err(cannot(ty, "a function cannot leave the sandbox; pass data"));
        }
    };
    let types: Vec<&Type> = arguments
        .iter()
        .filter_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        })
        .collect();
    match (name.as_str(), types.as_slice(), of_std(path)) {
        ("bool" | "char" | "f32" | "f64", [], true) => Ok(Ty::Scalar(name)),
        ("u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64", [], true) => Ok(Ty::Scalar(name)),
        ("String", [], true) => Ok(Ty::Text),
        ("Vec", [item], true) => Ok(Ty::List(Box::new(cross(item, names, place)?))),
        ("Option", [item], true) => Ok(Ty::Option(Box::new(cross(item, names, place)?))),
        ("Result", [ok, err], true) => {
            let ok = optional(ok, names, place)?.map(Box::new);
            Ok(Ty::Result(ok, optional(err, names, place)?.map(Box::new)))
        }
        ("Result", [_], _) => Err(cannot(
            ty,
            "name the error's type, too: `Result<T, String>`, or an enum that derives `unblock::Variant`",
        )),
        (_, [], standard) if arguments.is_empty() => match advice(&name, standard && path.segments.len() > 1)
        {
            Some(advice) => Err(cannot(ty, advice)),
            None => Ok(Ty::Named(names.place(path))),
        },
        _ => Err(cannot(ty, generic_advice(&name))),
    }
}

impl Names {
    fn place(&mut self, path: &Path) -> usize {
        let text = path.to_token_stream().to_string();
        let known = self.paths.iter().position(|known| known.to_token_stream().to_string() == text);
        known.unwrap_or_else(|| {
            self.paths.push(path.clone());
            self.paths.len() - 1
        })
    }
}

/// Whether a path means what std calls so: `Vec`, or `std::vec::Vec`.
fn of_std(path: &Path) -> bool {
    match path.segments.first() {
        Some(first) if path.segments.len() > 1 => {
            ["std", "core", "alloc"].iter().any(|name| first.ident == name)
        }
        _ => path.leading_colon.is_none(),
    }
}

/// What to use instead of a type without generics. Names that a user may well have taken for a type
/// of their own count only under their full path.
fn advice(name: &str, full: bool) -> Option<&'static str> {
    Some(match name {
        "usize" => "use `u64` or `u32`, which have one size everywhere",
        "isize" => "use `i64` or `i32`, which have one size everywhere",
        "u128" | "i128" => "use `u64` or `i64`, or `String` for larger numbers",
        "str" => "use `String`, or `&str` as a parameter",
        "Self" => "name the type",
        "Duration" if full => "use a number of seconds, `f64`",
        "SystemTime" | "Instant" if full => "use Unix seconds, `f64` or `u64`",
        "Path" | "PathBuf" | "OsStr" | "OsString" | "CStr" | "CString" if full => "use `String`",
        "Error" if full => "use `String`: `.map_err(|error| error.to_string())`",
        _ if full => {
            "use numbers, `bool`, `char`, `String`, `Vec`, `Option`, `Result`, tuples, or a type of your own with a derive of `unblock`"
        }
        _ => return None,
    })
}

fn generic_advice(name: &str) -> &'static str {
    match name {
        "HashMap" | "BTreeMap" | "IndexMap" => {
            "use `Vec<(K, V)>`, or a struct that derives `unblock::Record`"
        }
        "HashSet" | "BTreeSet" | "IndexSet" | "VecDeque" | "LinkedList" | "BinaryHeap" => "use `Vec<T>`",
        "Box" | "Rc" | "Arc" | "Cell" | "RefCell" | "Mutex" | "RwLock" => "use the value itself",
        "Cow" => "use `String` or `Vec<T>`",
        "Vec" | "Option" | "Result" | "String" => "write it with std's own type parameters",
        _ => {
            "a generic type cannot cross: write a struct with concrete fields that derives `unblock::Record`"
        }
    }
}

fn cannot(ty: &Type, instead: &str) -> Error {
    let text = readable(&ty.to_token_stream().to_string());
    Error::new(ty.span(), format!("`{text}` cannot cross between a task and its caller: {instead}"))
}

/// Tokens print with spaces everywhere; people write `Vec<u8>`.
fn readable(tokens: &str) -> String {
    let mut text = tokens.to_owned();
    for (from, to) in [
        (" < ", "<"),
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        (" :: ", "::"),
        ("& ", "&"),
        (" ;", ";"),
    ] {
        text = text.replace(from, to);
    }
    text
}

/// The target of a shared reference.
fn borrowed(ty: &Type) -> Result<Option<&Type>> {
    match ungrouped(ty) {
        Type::Reference(reference) if reference.mutability.is_some() => {
            Err(cannot(ty, "take the value itself, and return what becomes of it"))
        }
        Type::Reference(reference) => Ok(Some(ungrouped(&reference.elem))),
        _ => Ok(None),
    }
}

/// What stands behind a reference, as the value that is referred to.
fn target_type(target: &Type, names: &mut Names) -> Result<Ty> {
    match target {
        Type::Slice(slice) => Ok(Ty::List(Box::new(cross(&slice.elem, names, Place::Owned)?))),
        target if is_str(target) => Ok(Ty::Text),
        target => cross(target, names, Place::Owned),
    }
}

fn is_str(ty: &Type) -> bool {
    matches!(ungrouped(ty), Type::Path(path) if path.qself.is_none() && path.path.is_ident("str"))
}

/// The item of an `Option`.
fn option_item(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ungrouped(ty) else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(item)) if arguments.args.len() == 1 && of_std(&path.path) => Some(item),
        _ => None,
    }
}

/// Without the parentheses that mean nothing, and without the invisible ones of macros.
fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        ty => ty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<(Ty, Passing), String> {
        let ty: Type = syn::parse_str(text).map_err(|error| error.to_string())?;
        parameter(&ty, &mut Names::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_may_be_borrowed() {
        let list = || Ty::List(Box::new(Ty::Scalar("u8".into())));
        for (text, ty, passing) in [
            ("&str", Ty::Text, Passing::Reference),
            ("&[u8]", list(), Passing::Reference),
            ("&Vec<u8>", list(), Passing::Reference),
            ("Option<&str>", Ty::Option(Box::new(Ty::Text)), Passing::OptionalReference),
            ("std::option::Option<&'a [u8]>", Ty::Option(Box::new(list())), Passing::OptionalReference),
            ("&crate::Options", Ty::Named(0), Passing::Reference),
            ("std::string::String", Ty::Text, Passing::Value),
        ] {
            assert_eq!(read(text), Ok((ty, passing)), "{text}");
        }
    }

    #[test]
    fn what_cannot_cross_says_what_to_use() {
        for (text, advice) in [
            ("usize", "u64"),
            ("u128", "String"),
            ("[u8; 4]", "Vec<T>"),
            ("HashMap<String, u8>", "Vec<(K, V)>"),
            ("std::time::Duration", "f64"),
            ("Vec<&str>", "String"),
            ("Option<&Options>", "value itself"),
            ("&mut String", "return what becomes of it"),
            ("impl Iterator<Item = u8>", "concrete type"),
            ("Box<dyn Error>", "value itself"),
            ("Result<String>", "Result<T, String>"),
            ("()", "only good as a result"),
            ("Page<String>", "generic type"),
            ("fn(u8) -> u8", "pass data"),
            ("*const u8", "address"),
            ("<T as Iterator>::Item", "trait"),
        ] {
            let error = read(text).err().unwrap_or_default();
            assert!(error.contains("cannot cross") && error.contains(advice), "{text}: {error}");
        }
    }
}
