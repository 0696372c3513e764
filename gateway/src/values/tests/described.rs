//! What is written about a type for people and tools is true: its example, its parameters by
//! position, and how it looks as text.

use super::{CASES, accepts, any_shape, any_shape_to_come, any_val, change, edge, record, text};
use crate::values::{
    Args, Limits, Param, Shape, Textual, decode_args, decode_text_field, decode_value, example, example_args,
    example_wave, params_schema, positional_schema, schema,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// The text that says a JSON scalar: strings lose their quotes.
fn plain(doc: &Value) -> String {
    doc.as_str().map_or_else(|| doc.to_string(), str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_example_is_a_value_of_its_type(shape in any_shape_to_come()) {
        if let Some(example) = example(&shape) {
            let decoded = decode_value(&shape, example.to_string().as_bytes(), &Limits::default());
            prop_assert!(decoded.is_ok(), "{shape}: {example}: {decoded:?}");
            prop_assert!(accepts(&schema(&shape), &example), "{shape}: {example}");
        }
    }

    #[test]
    fn example_arguments_can_be_sent(params in record(any_shape()), all in any::<bool>()) {
        if let Some(example) = example_args(&params, all) {
            let decoded = decode_args(&params, example.to_string().as_bytes(), &Limits::default());
            prop_assert!(decoded.is_ok(), "{example}: {decoded:?}");
            prop_assert!(accepts(&params_schema(&params), &example), "{example}");
        }
    }

    #[test]
    fn an_example_in_wave_can_be_sent(params in record(any_shape())) {
        if let Some(wave) = example_wave(&Shape::Record(params.clone())) {
            let limits = Limits::default();
            let mut args = Args::new(&params, &limits);
            let given = args.wave(wave.as_bytes()).and_then(|()| args.finish());
            prop_assert!(given.is_ok(), "{wave}: {given:?}");
        }
    }

    #[test]
    fn parameters_by_position_are_what_their_schema_says(
        (params, vals) in record(any_shape()).prop_flat_map(|params| {
            let vals: Vec<_> = params.iter().map(|param| any_val(&param.shape)).collect();
            (Just(params), vals)
        }),
        at in vec(any::<Index>(), 3), how in any::<u8>(), new in edge(), left_out in 0_usize..3
    ) {
        let docs = params.iter().zip(&vals).map(|(param, val)| text(&param.shape, val).parse().unwrap());
        let mut doc = Value::Array(docs.collect());
        change(&mut doc, &at, how, new);
        if let Value::Array(items) = &mut doc {
            items.truncate(items.len().saturating_sub(left_out));
            let decoded = decode_args(&params, doc.to_string().as_bytes(), &Limits::default());
            prop_assert_eq!(decoded.is_ok(), accepts(&positional_schema(&params), &doc), "{}: {:?}", doc, decoded);
        }
    }

    #[test]
    fn what_the_schema_of_a_text_allows_is_read(
        (shape, val) in any_shape().prop_flat_map(|shape| { let val = any_val(&shape); (Just(shape), val) }),
        new in edge()
    ) {
        let doc: Value = serde_json::from_str(&text(&shape, &val)).unwrap();
        match Textual::of(&shape) {
            Textual::Word(word) => {
                for doc in [&doc, &new].into_iter().filter(|doc| accepts(&word, doc)) {
                    let decoded = decode_text_field(&shape, &plain(doc), &Limits::default());
                    prop_assert!(decoded.is_ok(), "{shape}: {doc}: {decoded:?}");
                }
            }
            Textual::Repeated { array, item } => {
                let Value::Array(items) = &doc else { return Ok(()) };
                let optional = matches!(shape, Shape::Option(_));
                prop_assert_eq!(accepts(&array, &doc), optional || !items.is_empty(), "{}: {}", shape, doc);
                if !items.is_empty() {
                    let params = [Param::new("p", shape.clone())];
                    let limits = Limits::default();
                    let mut args = Args::new(&params, &limits);
                    let pairs: Vec<_> = items.iter().map(|item| ("p", plain(item))).collect();
                    let given = args.query(&pairs).and_then(|()| args.finish());
                    prop_assert_eq!(given.map_err(|e| e.to_string()), Ok(vec![val]), "{}: {}", shape, doc);
                    prop_assert!(items.iter().all(|doc| accepts(&item, doc)));
                }
            }
            Textual::Document(document) => {
                prop_assert!(accepts(&document, &doc));
                let decoded = decode_text_field(&shape, &doc.to_string(), &Limits::default());
                prop_assert_eq!(decoded.map_err(|e| e.to_string()), Ok(val), "{}: {}", shape, doc);
            }
        }
    }
}

#[test]
fn options_at_the_end_may_be_left_out_by_position() {
    let params = [
        Param::new("a", Shape::option(Shape::U8)),
        Param::new("b", Shape::U8),
        Param::new("c", Shape::option(Shape::U8)),
    ];
    let schema = positional_schema(&params);
    assert_eq!((&schema["minItems"], &schema["maxItems"]), (&json!(2), &json!(3)));
    assert_eq!(positional_schema(&[]), json!({"type": "array", "maxItems": 0}));
}

#[test]
fn an_example_shows_options_only_where_all_is_asked_for() {
    let params = [Param::new("width", Shape::U32), Param::new("note", Shape::option(Shape::String))];
    assert_eq!(example_args(&params, false), Some(json!({"width": 1})));
    assert_eq!(example_args(&params, true), Some(json!({"width": 1, "note": "text"})));
    let large = Shape::FixedList(std::sync::Arc::new(Shape::U32), 1_000);
    assert_eq!(example(&large), None);
}

#[test]
fn an_option_of_a_number_may_be_an_empty_text() {
    let shape = Shape::option(Shape::U8);
    let Textual::Word(word) = Textual::of(&shape) else { panic!("a word") };
    assert!(accepts(&word, &Value::Null) && accepts(&word, &json!(7)) && !accepts(&word, &json!("7")));
    let Textual::Word(word) = Textual::of(&Shape::option(Shape::String)) else { panic!("a word") };
    assert!(!accepts(&word, &Value::Null), "the text null is a text");
}
