//! JSON and WAVE → value → text → value: what was accepted is written in a form that is accepted, as the same value.
//!
//! The first byte chooses a type, the rest is the document, read as both.

use gateway::values::{
    Case, Limits, Param, Shape, decode_args, decode_query, decode_value, decode_wave, encode, encode_wave,
};
use std::sync::LazyLock;

/// Far above what an input of 16 KiB can make.
const OUT_BYTES_MAX: usize = 1 << 20;

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(shapes);

fn shapes() -> Vec<Shape> {
    let case = |name: &str, shape| Case { name: name.to_owned(), shape };
    let record = Shape::Record(
        [
            Param::new("two-words", Shape::option(Shape::U64)),
            Param::new("b", Shape::list(Shape::F32)),
            Param::new("c", Shape::option(Shape::option(Shape::String))),
        ]
        .into(),
    );
    let variant = Shape::Variant(
        [case("none", None), case("size", Some(Shape::S8)), case("deep", Some(record.clone()))].into(),
    );
    let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into();
    vec![
        Shape::Bool,
        Shape::S64,
        Shape::U64,
        Shape::F32,
        Shape::F64,
        Shape::Char,
        Shape::String,
        Shape::Bytes,
        Shape::Enum(labels(&["a", "two-words"])),
        Shape::Flags(labels(&["read", "write", "x1"])),
        Shape::result(Some(Shape::U8), Some(Shape::String)),
        Shape::Tuple([Shape::U16, Shape::Char, Shape::Bytes].into()),
        Shape::list(variant.clone()),
        record,
        variant.clone(),
        Shape::option(Shape::option(variant)),
        Shape::Map(Shape::String.into(), Shape::U32.into()),
        Shape::Map(Shape::S64.into(), Shape::String.into()),
        Shape::FixedList(Shape::F64.into(), 3),
    ]
}

pub(super) fn feed(input: &[u8]) {
    let Some((first, text)) = input.split_first() else { return };
    let shape = &SHAPES[usize::from(*first) % SHAPES.len()];
    let limits = Limits { depth_max: 128, elements_max: 1 << 16, bytes_max: 1 << 16 };
    if let Ok(val) = decode_value(shape, text, &limits) {
        let mut out = Vec::new();
        encode(shape, &val, &mut out, OUT_BYTES_MAX).expect("what was read is written");
        let again =
            decode_value(shape, &out, &limits).unwrap_or_else(|error| panic!("{error}: {}", shown(&out)));
        let mut twice = Vec::new();
        encode(shape, &again, &mut twice, OUT_BYTES_MAX).expect("what was read is written");
        assert!(out == twice, "{} became {}", shown(&out), shown(&twice));
    }
    if let Ok(val) = decode_wave(shape, text, &limits) {
        let (mut out, mut twice) = (Vec::new(), Vec::new());
        encode_wave(shape, &val, &mut out, OUT_BYTES_MAX).expect("what was read is written");
        let again =
            decode_wave(shape, &out, &limits).unwrap_or_else(|error| panic!("{error}: {}", shown(&out)));
        encode_wave(shape, &again, &mut twice, OUT_BYTES_MAX).expect("what was read is written");
        assert!(out == twice, "{} became {}", shown(&out), shown(&twice));
    }
    // As arguments: they are read, or the error says why; both without a panic.
    let params = [Param::new("two-words", shape.clone()), Param::new("b", Shape::option(Shape::String))];
    let _ = decode_args(&params, text, &limits).map_err(|error| error.to_string());
    if let Ok(text) = std::str::from_utf8(text) {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        let pairs: Vec<(String, String)> =
            pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        let _ = decode_query(&params, &pairs, &limits).map_err(|error| error.to_string());
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
