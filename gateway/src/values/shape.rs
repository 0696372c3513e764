//! The types that can cross between JSON and WIT, as our own closed enum.
//!
//! Owns [`Shape`], built once at load from the engine's types, its bounds, and its printed WIT
//! form. It must not know how a value looks in JSON: that is `rows.rs`.

use super::error::NotExposed;
use std::fmt;
use std::sync::Arc;
use wasmtime::component::Type;

/// Deepest nesting of one type, in levels. Real interfaces stay below ten; the walks recurse.
pub const SHAPE_DEPTH_MAX: usize = 48;

/// Most nodes of one type, written out in full. Types share their parts, so that a few hundred
/// bytes of component could describe millions of nodes.
pub const SHAPE_NODES_MAX: usize = 10_000;

/// A named and typed place: a function's parameter or a record's field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// The exact WIT name (kebab-case), or `0`, `1`, … for a core function.
    pub name: String,
    /// What it takes.
    pub shape: Shape,
    /// The WIT doc comment, if one is known; becomes the schema's `description`.
    pub doc: Option<String>,
}

impl Param {
    /// A place without documentation.
    #[must_use]
    pub fn new(name: impl Into<String>, shape: Shape) -> Self {
        Self { name: name.into(), shape, doc: None }
    }
}

/// One case of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The exact WIT label.
    pub name: String,
    /// The payload's type, if the case has one.
    pub shape: Option<Shape>,
}

/// The payloads of a `result`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Type of the ok payload, if any.
    pub ok: Option<Shape>,
    /// Type of the err payload, if any.
    pub err: Option<Shape>,
}

/// A WIT type whose values can be written as JSON. Cheap to clone: composite parts are shared.
///
/// `Display` prints it in WIT syntax, named types in an anonymous form:
/// `record { width: u32, tags: list<string> }`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "self-describing variants: the WIT type of the same name")]
pub enum Shape {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`, which JSON writes as base64. Its values are lists of `u8` values.
    Bytes,
    List(Arc<Shape>),
    /// `list<T, N>`.
    FixedList(Arc<Shape>, u32),
    /// `map<K, V>`.
    Map(Arc<Shape>, Arc<Shape>),
    Record(Arc<[Param]>),
    Tuple(Arc<[Shape]>),
    Variant(Arc<[Case]>),
    Enum(Arc<[String]>),
    Flags(Arc<[String]>),
    Option(Arc<Shape>),
    Result(Arc<Sides>),
}

impl Shape {
    /// The shape of a component's type.
    ///
    /// # Errors
    /// [`NotExposed`] with the reason, and the place inside the type: resources, streams, futures
    /// and error contexts have no JSON form; a type deeper than [`SHAPE_DEPTH_MAX`] or larger than
    /// [`SHAPE_NODES_MAX`] is refused as well.
    pub fn from_type(ty: &Type) -> Result<Self, NotExposed> {
        from_type(ty, 0, &mut 0)
    }

    /// The shape of a core module's parameter or result: `i32` is `s32`, `i64` is `s64`.
    ///
    /// # Errors
    /// [`NotExposed`] for vectors and references.
    pub fn from_core(ty: &wasmtime::ValType) -> Result<Self, NotExposed> {
        match ty {
            wasmtime::ValType::I32 => Ok(Shape::S32),
            wasmtime::ValType::I64 => Ok(Shape::S64),
            wasmtime::ValType::F32 => Ok(Shape::F32),
            wasmtime::ValType::F64 => Ok(Shape::F64),
            wasmtime::ValType::V128 => Err(NotExposed::new("v128 has no JSON form")),
            wasmtime::ValType::Ref(_) => Err(NotExposed::new("a reference has no JSON form")),
        }
    }

    /// How many parts the type has, written out in full.
    #[must_use]
    pub fn parts(&self) -> usize {
        let maybe = |shape: &Option<Shape>| shape.as_ref().map_or(0, Shape::parts);
        1 + match self {
            Shape::List(item) | Shape::FixedList(item, _) | Shape::Option(item) => item.parts(),
            Shape::Map(key, value) => key.parts() + value.parts(),
            Shape::Record(fields) => fields.iter().map(|field| field.shape.parts()).sum(),
            Shape::Tuple(slots) => slots.iter().map(Shape::parts).sum(),
            Shape::Variant(cases) => cases.iter().map(|case| 1 + maybe(&case.shape)).sum(),
            Shape::Enum(labels) | Shape::Flags(labels) => labels.len(),
            Shape::Result(sides) => maybe(&sides.ok) + maybe(&sides.err),
            _ => 0,
        }
    }

    /// `list<item>`; of `u8` it is [`Shape::Bytes`].
    #[must_use]
    pub fn list(item: Shape) -> Self {
        if item == Shape::U8 { Shape::Bytes } else { Shape::List(Arc::new(item)) }
    }

    /// `option<inner>`.
    #[must_use]
    pub fn option(inner: Shape) -> Self {
        Shape::Option(Arc::new(inner))
    }

    /// `result<ok, err>`.
    #[must_use]
    pub fn result(ok: Option<Shape>, err: Option<Shape>) -> Self {
        Shape::Result(Arc::new(Sides { ok, err }))
    }
}

fn from_type(ty: &Type, depth: usize, nodes: &mut usize) -> Result<Shape, NotExposed> {
    *nodes += 1;
    if depth >= SHAPE_DEPTH_MAX {
        return Err(NotExposed::new(format!("the type is nested deeper than {SHAPE_DEPTH_MAX} levels")));
    }
    if *nodes > SHAPE_NODES_MAX {
        return Err(NotExposed::new(format!("the type has more than {SHAPE_NODES_MAX} parts")));
    }
    let mut inner = |ty: &Type| from_type(ty, depth + 1, nodes);
    let no_json = |what: &str| Err(NotExposed::new(format!("{what} has no JSON form")));
    Ok(match ty {
        Type::Bool => Shape::Bool,
        Type::S8 => Shape::S8,
        Type::U8 => Shape::U8,
        Type::S16 => Shape::S16,
        Type::U16 => Shape::U16,
        Type::S32 => Shape::S32,
        Type::U32 => Shape::U32,
        Type::S64 => Shape::S64,
        Type::U64 => Shape::U64,
        Type::Float32 => Shape::F32,
        Type::Float64 => Shape::F64,
        Type::Char => Shape::Char,
        Type::String => Shape::String,
        Type::List(list) => Shape::list(inner(&list.ty()).map_err(|e| e.inside("in a list"))?),
        Type::FixedLengthList(list) => {
            let item = inner(&list.ty()).map_err(|e| e.inside("in a list"))?;
            Shape::FixedList(Arc::new(item), list.len())
        }
        Type::Map(map) => {
            let key = inner(&map.key()).map_err(|e| e.inside("map key"))?;
            let value = inner(&map.value()).map_err(|e| e.inside("map value"))?;
            Shape::Map(Arc::new(key), Arc::new(value))
        }
        Type::Record(record) => record
            .fields()
            .map(|field| {
                let shape = inner(&field.ty).map_err(|e| e.inside(format_args!("field {}", field.name)))?;
                Ok(Param::new(field.name, shape))
            })
            .collect::<Result<Arc<[_]>, _>>()
            .map(Shape::Record)?,
        Type::Tuple(tuple) => {
            tuple.types().map(|ty| inner(&ty)).collect::<Result<Arc<[_]>, _>>().map(Shape::Tuple)?
        }
        Type::Variant(variant) => variant
            .cases()
            .map(|case| {
                let place = format_args!("case {}", case.name);
                let shape = case.ty.as_ref().map(&mut inner).transpose().map_err(|e| e.inside(place))?;
                Ok(Case { name: case.name.to_owned(), shape })
            })
            .collect::<Result<Arc<[_]>, _>>()
            .map(Shape::Variant)?,
        Type::Enum(labels) => Shape::Enum(labels.names().map(str::to_owned).collect()),
        Type::Flags(labels) => Shape::Flags(labels.names().map(str::to_owned).collect()),
        Type::Option(option) => Shape::option(inner(&option.ty())?),
        Type::Result(result) => {
            let ok = result.ok().as_ref().map(&mut inner).transpose().map_err(|e| e.inside("ok"))?;
            let err = result.err().as_ref().map(&mut inner).transpose().map_err(|e| e.inside("err"))?;
            Shape::result(ok, err)
        }
        Type::Own(_) | Type::Borrow(_) => return no_json("a resource"),
        Type::Stream(_) => return no_json("a stream"),
        Type::Future(_) => return no_json("a future"),
        Type::ErrorContext => return no_json("an error-context"),
    })
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Bool => f.write_str("bool"),
            Shape::S8 => f.write_str("s8"),
            Shape::U8 => f.write_str("u8"),
            Shape::S16 => f.write_str("s16"),
            Shape::U16 => f.write_str("u16"),
            Shape::S32 => f.write_str("s32"),
            Shape::U32 => f.write_str("u32"),
            Shape::S64 => f.write_str("s64"),
            Shape::U64 => f.write_str("u64"),
            Shape::F32 => f.write_str("f32"),
            Shape::F64 => f.write_str("f64"),
            Shape::Char => f.write_str("char"),
            Shape::String => f.write_str("string"),
            Shape::Bytes => f.write_str("list<u8>"),
            Shape::List(item) => write!(f, "list<{item}>"),
            Shape::FixedList(item, len) => write!(f, "list<{item}, {len}>"),
            Shape::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Shape::Record(fields) => {
                braces(f, "record", fields, |f, field| write!(f, "{}: {}", field.name, field.shape))
            }
            Shape::Tuple(items) => {
                f.write_str("tuple<")?;
                separated(f, items, |f, item| write!(f, "{item}"))?;
                f.write_str(">")
            }
            Shape::Variant(cases) => braces(f, "variant", cases, |f, case| match &case.shape {
                Some(shape) => write!(f, "{}({shape})", case.name),
                None => f.write_str(&case.name),
            }),
            Shape::Enum(labels) => braces(f, "enum", labels, |f, label| f.write_str(label)),
            Shape::Flags(labels) => braces(f, "flags", labels, |f, label| f.write_str(label)),
            Shape::Option(inner) => write!(f, "option<{inner}>"),
            Shape::Result(sides) => match (&sides.ok, &sides.err) {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => write!(f, "result<{ok}>"),
                (None, Some(err)) => write!(f, "result<_, {err}>"),
                (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            },
        }
    }
}

fn braces<T>(
    f: &mut fmt::Formatter<'_>,
    keyword: &str,
    items: &[T],
    print: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{keyword} {{ ")?;
    separated(f, items, print)?;
    f.write_str(" }")
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    print: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            f.write_str(", ")?;
        }
        print(f, item)?;
    }
    Ok(())
}
