//! Properties that hold for every type and value: what is written can be read back, and a schema
//! accepts exactly what the decoder accepts. Examples of each row, bounds and messages are in
//! `examples.rs`; the engine's own view of the types is checked against real components here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod components;
mod described;
mod examples;
mod texts;
mod wave;

use super::shape::{Case, Param, Shape};
use super::{Limits, decode_args, decode_value, encode, params_schema, schema};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use serde_json::{Value, json};
use std::sync::Arc;
use wasmtime::component::Val;

/// Cases of each property: all of them together stay below ten seconds on two cores.
const CASES: u32 = 400;

/// The JSON text of a value.
fn text(shape: &Shape, val: &Val) -> String {
    let mut out = Vec::new();
    encode(shape, val, &mut out, usize::MAX).expect("a value of its shape");
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn names(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    const NAMES: [&str; 9] = ["a", "b", "some", "tag", "val", "ok", "two-words", "x1", "URL-of-it"];
    subsequence(NAMES.to_vec(), count).prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn record(inner: impl Strategy<Value = Shape> + Clone) -> impl Strategy<Value = Arc<[Param]>> {
    (names(1..5), vec(inner, 5)).prop_map(|(names, shapes)| {
        names.into_iter().zip(shapes).map(|(name, s)| Param::new(name, s)).collect()
    })
}

/// Any type a component may have today.
fn any_shape() -> impl Strategy<Value = Shape> + Clone {
    let leaf = prop_oneof![
        select(vec![Shape::Bool, Shape::S8, Shape::U8, Shape::S16, Shape::U16, Shape::S32, Shape::U32]),
        select(vec![
            Shape::S64,
            Shape::U64,
            Shape::F32,
            Shape::F64,
            Shape::Char,
            Shape::String,
            Shape::Bytes
        ]),
        names(1..6).prop_map(|names| Shape::Enum(names.into())),
        names(1..9).prop_map(|names| Shape::Flags(names.into())),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let payload = proptest::option::of(inner.clone());
        prop_oneof![
            inner.clone().prop_map(Shape::list),
            record(inner.clone()).prop_map(Shape::Record),
            vec(inner.clone(), 1..4).prop_map(|slots| Shape::Tuple(slots.into())),
            (names(1..5), vec(payload.clone(), 5)).prop_map(|(names, shapes)| {
                let cases = names.into_iter().zip(shapes).map(|(name, shape)| Case { name, shape });
                Shape::Variant(cases.collect())
            }),
            inner.clone().prop_map(Shape::option),
            inner.prop_map(|inner| Shape::option(Shape::option(inner))),
            (payload.clone(), payload).prop_map(|(ok, err)| Shape::result(ok, err)),
        ]
    })
}

/// Any type, with those that are prepared but off in the engine.
fn any_shape_to_come() -> impl Strategy<Value = Shape> {
    let key = select(vec![Shape::String, Shape::String, Shape::U32, Shape::S64, Shape::Bool, Shape::Char]);
    (any_shape(), key, 0_u32..4, any::<u8>()).prop_map(|(shape, key, len, pick)| match pick % 3 {
        0 => Shape::Map(Arc::new(key), Arc::new(shape)),
        1 => Shape::FixedList(Arc::new(shape), len),
        _ => shape,
    })
}

/// Any value of a type.
fn any_val(shape: &Shape) -> BoxedStrategy<Val> {
    macro_rules! int {
        ($int:ty, $variant:ident) => {
            prop_oneof![any::<$int>(), Just(<$int>::MIN), Just(<$int>::MAX)].prop_map(Val::$variant).boxed()
        };
    }
    let payload = |shape: &Option<Shape>| match shape {
        Some(shape) => any_val(shape).prop_map(|val| Some(Box::new(val))).boxed(),
        None => Just(None).boxed(),
    };
    match shape {
        Shape::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Shape::S8 => int!(i8, S8),
        Shape::U8 => int!(u8, U8),
        Shape::S16 => int!(i16, S16),
        Shape::U16 => int!(u16, U16),
        Shape::S32 => int!(i32, S32),
        Shape::U32 => int!(u32, U32),
        Shape::S64 => int!(i64, S64),
        Shape::U64 => int!(u64, U64),
        Shape::F32 => any::<u32>().prop_map(|bits| Val::Float32(f32::from_bits(bits))).boxed(),
        Shape::F64 => any::<u64>().prop_map(|bits| Val::Float64(f64::from_bits(bits))).boxed(),
        Shape::Char => any::<char>().prop_map(Val::Char).boxed(),
        Shape::String => vec(any::<char>(), 0..6).prop_map(|s| Val::String(s.into_iter().collect())).boxed(),
        Shape::Bytes => vec(any_val(&Shape::U8), 0..9).prop_map(Val::List).boxed(),
        Shape::List(item) => vec(any_val(item), 0..4).prop_map(Val::List).boxed(),
        Shape::FixedList(item, len) => {
            vec(any_val(item), *len as usize).prop_map(Val::FixedLengthList).boxed()
        }
        Shape::Map(key, value) => vec((any_val(key), any_val(value)), 0..4).prop_map(unique_keys).boxed(),
        Shape::Record(fields) => {
            let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
            let vals: Vec<_> = fields.iter().map(|field| any_val(&field.shape)).collect();
            vals.prop_map(move |vals| Val::Record(names.iter().cloned().zip(vals).collect())).boxed()
        }
        Shape::Tuple(slots) => slots.iter().map(any_val).collect::<Vec<_>>().prop_map(Val::Tuple).boxed(),
        Shape::Variant(cases) => {
            let case = |case: &Case| {
                let name = case.name.clone();
                payload(&case.shape).prop_map(move |val| Val::Variant(name.clone(), val)).boxed()
            };
            proptest::strategy::Union::new(cases.iter().map(case)).boxed()
        }
        Shape::Enum(labels) => select(labels.to_vec()).prop_map(Val::Enum).boxed(),
        Shape::Flags(labels) => subsequence(labels.to_vec(), 0..=labels.len()).prop_map(Val::Flags).boxed(),
        Shape::Option(inner) => {
            proptest::option::of(any_val(inner)).prop_map(|val| Val::Option(val.map(Box::new))).boxed()
        }
        Shape::Result(sides) => {
            prop_oneof![payload(&sides.ok).prop_map(Ok), payload(&sides.err).prop_map(Err)]
                .prop_map(Val::Result)
                .boxed()
        }
    }
}

fn unique_keys(pairs: Vec<(Val, Val)>) -> Val {
    let mut unique: Vec<(Val, Val)> = Vec::new();
    for (key, val) in pairs {
        if !unique.iter().any(|(known, _)| *known == key) {
            unique.push((key, val));
        }
    }
    Val::Map(unique)
}

fn shape_and_val() -> impl Strategy<Value = (Shape, Val)> {
    any_shape_to_come().prop_flat_map(|shape| {
        let val = any_val(&shape);
        (Just(shape), val)
    })
}

/// Scalars at the edges of what the rows accept.
fn edge() -> impl Strategy<Value = Value> {
    let big = ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"];
    let more = ["18446744073709551615", "18446744073709551616", "0", "-0", "007", "+1", "1e3", "1.0", "-1"];
    let words = [
        "",
        "a",
        "é",
        "ab",
        "NaN",
        "Infinity",
        "-Infinity",
        "inf",
        "AA==",
        "AB==",
        "AAA=",
        "AAAA",
        "A",
        "ok",
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec![-129, -128, -1, 0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295_i64, 4294967296])
            .prop_map(Value::from),
        select(vec![
            1.0,
            -1.0,
            255.0,
            256.0,
            0.5,
            -0.0,
            1e3,
            1e18,
            1e19,
            1e20,
            3.4028235e38,
            3.402823567e38,
            340282356779733661637539395458142568448.0,
            1e39,
            1e-50,
            9007199254740992.0
        ])
        .prop_map(Value::from),
        select(big.into_iter().chain(more).chain(words).collect::<Vec<_>>()).prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"some": null})),
        Just(json!({"tag": "a"})),
        Just(json!({"ok": null})),
        Just(json!([0, 255, 1.0])),
    ]
}

/// One change somewhere in a document.
fn change(doc: &mut Value, at: &[Index], how: u8, new: Value) {
    match (doc, at) {
        (Value::Array(items), [at, rest @ ..]) if !items.is_empty() && !how.is_multiple_of(8) => {
            let index = at.index(items.len());
            match how % 8 {
                1 => drop(items.remove(index)),
                2 => items.push(items[index].clone()),
                3 => items.push(new),
                _ => change(&mut items[index], rest, how, new),
            }
        }
        (Value::Object(members), [at, rest @ ..]) if !members.is_empty() && !how.is_multiple_of(8) => {
            let name = members.keys().nth(at.index(members.len())).unwrap().clone();
            match how % 8 {
                1 => drop(members.shift_remove(&name)),
                2 => drop(members.insert(["extra", "a", "val", "err"][at.index(4)].to_owned(), new)),
                3 => drop(members.insert(name, Value::Null)),
                _ => change(members.get_mut(&name).unwrap(), rest, how, new),
            }
        }
        (doc, _) => *doc = new,
    }
}

fn accepts(schema: &Value, doc: &Value) -> bool {
    jsonschema::draft202012::new(schema).expect("a valid schema").is_valid(doc)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back_and_fits_the_schema((shape, val) in shape_and_val()) {
        let text = text(&shape, &val);
        let back = decode_value(&shape, text.as_bytes(), &Limits::default()).map_err(|e| e.to_string());
        prop_assert_eq!(back, Ok(val), "{}: {}", shape, text);
        let doc: Value = serde_json::from_str(&text).unwrap();
        prop_assert!(accepts(&schema(&shape), &doc), "{shape}: {text}");
    }

    #[test]
    fn a_schema_is_valid_in_its_dialect(shape in any_shape_to_come()) {
        prop_assert!(jsonschema::draft202012::meta::is_valid(&schema(&shape)), "{shape}");
    }

    #[test]
    fn schema_and_decoder_agree_on_changed_documents(
        (shape, val) in shape_and_val(), at in vec(any::<Index>(), 6), how in any::<u8>(), new in edge()
    ) {
        // A schema cannot say that the keys of pairs are unique.
        if matches!(&shape, Shape::Map(key, _) if **key != Shape::String) {
            return Ok(());
        }
        let mut doc: Value = serde_json::from_str(&text(&shape, &val)).unwrap();
        change(&mut doc, &at, how, new);
        let decoded = decode_value(&shape, doc.to_string().as_bytes(), &Limits::default());
        prop_assert_eq!(decoded.is_ok(), accepts(&schema(&shape), &doc), "{}: {}: {:?}", shape, doc, decoded);
        if let Ok(val) = decoded {
            let canonical = text(&shape, &val);
            let again = decode_value(&shape, canonical.as_bytes(), &Limits::default()).map_err(|e| e.to_string());
            prop_assert_eq!(again, Ok(val), "{}: {} became {}", shape, doc, canonical);
        }
    }

    #[test]
    fn parameters_by_name_are_what_their_schema_says(
        (params, vals) in record(any_shape()).prop_flat_map(|params| {
            let vals: Vec<_> = params.iter().map(|param| any_val(&param.shape)).collect();
            (Just(params), vals)
        }),
        at in vec(any::<Index>(), 3), how in any::<u8>(), new in edge()
    ) {
        let fields = params.iter().map(|param| param.name.clone()).zip(vals.iter().cloned());
        let json = text(&Shape::Record(params.clone()), &Val::Record(fields.collect()));
        let by_name = decode_args(&params, json.as_bytes(), &Limits::default()).map_err(|e| e.to_string());
        prop_assert_eq!(by_name, Ok(vals.clone()));

        let tuple = Shape::Tuple(params.iter().map(|param| param.shape.clone()).collect());
        let array = text(&tuple, &Val::Tuple(vals.clone()));
        let by_position = decode_args(&params, array.as_bytes(), &Limits::default()).map_err(|e| e.to_string());
        prop_assert_eq!(by_position, Ok(vals));

        let mut doc: Value = serde_json::from_str(&json).unwrap();
        change(&mut doc, &at, how, new);
        if doc.is_object() {
            let decoded = decode_args(&params, doc.to_string().as_bytes(), &Limits::default());
            prop_assert_eq!(decoded.is_ok(), accepts(&params_schema(&params), &doc), "{}: {:?}", doc, decoded);
        }
    }
}
