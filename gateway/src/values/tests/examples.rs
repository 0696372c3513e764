//! Each row of the table by example, the bounds, and the words of the messages.

use super::*;
use crate::values::{
    ArgError, ArgErrorKind, Args, BYTE_LIST_BYTES_MAX, EncodeError, bytes_of, decode_byte_field,
    decode_query, decode_text_field,
};

fn strings(items: &[&str]) -> Arc<[String]> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn record_of(fields: &[(&str, Shape)]) -> Shape {
    Shape::Record(fields.iter().map(|(name, shape)| Param::new(*name, shape.clone())).collect())
}

fn variant_of(cases: &[(&str, Option<Shape>)]) -> Shape {
    Shape::Variant(
        cases.iter().map(|(name, shape)| Case { name: (*name).to_owned(), shape: shape.clone() }).collect(),
    )
}

fn decode(shape: &Shape, json: &str) -> Result<Val, ArgError> {
    decode_value(shape, json.as_bytes(), &Limits::default())
}

fn message(shape: &Shape, json: &str) -> String {
    decode(shape, json).expect_err("a refusal").to_string()
}

#[test]
fn each_row_has_one_form_out_and_some_more_in() {
    let picture = record_of(&[("two-words", Shape::U32), ("maybe", Shape::option(Shape::Bool))]);
    let kind =
        variant_of(&[("none", None), ("size", Some(Shape::U8)), ("opt", Some(Shape::option(Shape::U8)))]);
    let nested = Shape::option(Shape::option(Shape::U32));
    let rows: Vec<(Shape, &str, &[&str])> = vec![
        (Shape::Bool, "true", &[]),
        (Shape::U8, "255", &["255.0", "2.55e2", "2550e-1"]),
        (Shape::S64, "9007199254740991", &["\"9007199254740991\"", "9007199254740991.0"]),
        (Shape::S64, "\"-9007199254740993\"", &["-9007199254740993", "-9007199254740993.0"]),
        (Shape::U64, "\"18446744073709551615\"", &["18446744073709551615"]),
        (Shape::F32, "0.1", &["0.10", "1e-1"]),
        (Shape::F32, "\"NaN\"", &[]),
        (Shape::F64, "\"-Infinity\"", &[]),
        (Shape::F64, "-0.0", &["-0"]),
        (Shape::Char, "\"é\"", &["\"\\u00e9\""]),
        (Shape::String, "\"a\\\"\\n\"", &["\"\\u0061\\u0022\\n\""]),
        (Shape::Bytes, "\"/+8=\"", &["[255, 239]", "\"\\/+8=\""]),
        (Shape::list(Shape::U16), "[1,2]", &[" [ 1 , 2.0 ] "]),
        (Shape::FixedList(Arc::new(Shape::U8), 2), "[1,2]", &[]),
        (Shape::Tuple([Shape::U8, Shape::Char].into()), "[1,\"x\"]", &[]),
        (
            picture.clone(),
            "{\"two-words\":1,\"maybe\":null}",
            &["{\"two_words\": 1}", "{\"maybe\":null,\"two-words\":1}"],
        ),
        (kind.clone(), "{\"tag\":\"none\"}", &["\"none\""]),
        (kind.clone(), "{\"tag\":\"size\",\"val\":7}", &["{\"val\":7,\"tag\":\"size\"}"]),
        (kind, "{\"tag\":\"opt\",\"val\":null}", &["{\"tag\":\"opt\"}"]),
        (Shape::Enum(strings(&["fast", "good"])), "\"good\"", &[]),
        (Shape::Flags(strings(&["read", "write"])), "[\"write\"]", &[]),
        (Shape::option(Shape::U8), "null", &[]),
        (nested.clone(), "null", &[]),
        (nested.clone(), "{\"some\":null}", &[]),
        (nested, "{\"some\":3}", &[]),
        (Shape::result(None, Some(Shape::String)), "{\"ok\":null}", &[]),
        (Shape::result(None, Some(Shape::String)), "{\"err\":\"no\"}", &[]),
        (Shape::Map(Arc::new(Shape::String), Arc::new(Shape::U8)), "{\"k\":1}", &[]),
        (Shape::Map(Arc::new(Shape::U8), Arc::new(Shape::Bool)), "[[1,true]]", &[]),
    ];
    for (shape, out, ins) in rows {
        let val = decode(&shape, out).unwrap_or_else(|e| panic!("{shape}: {out}: {e}"));
        assert_eq!(text(&shape, &val), out, "{shape}");
        for json in ins {
            assert_eq!(decode(&shape, json).as_ref(), Ok(&val), "{shape}: {json}");
        }
    }
}

#[test]
fn the_largest_f32_takes_what_rounds_to_it_and_no_more() {
    assert_eq!(decode(&Shape::F32, "3.402823567797336e38"), Ok(Val::Float32(f32::MAX)));
    assert!(decode(&Shape::F32, "3.4028235677973366e38").is_err());
    assert!(decode(&Shape::F32, "-3.5e38").is_err());
}

#[test]
fn a_mistake_says_where_what_and_what_else() {
    let options = record_of(&[("width", Shape::U32), ("a/b~c", Shape::list(Shape::Char))]);
    let params = record_of(&[("options", options)]);
    let kind = variant_of(&[("none", None), ("size", Some(Shape::U8))]);
    let flags = Shape::Flags(strings(&["read", "write"]));
    let cases: Vec<(&Shape, &str, &str)> = vec![
        (&params, r#"{"options":{"width":"wide"}}"#, r#"/options/width: expected u32, found "wide""#),
        (&params, r#"{"options":{"width":4294967296}}"#, "/options/width: expected u32, found 4294967296"),
        (
            &params,
            r#"{"options":{"width":1,"width":1}}"#,
            "/options/width: expected each name once, found a second value",
        ),
        (&params, r#"{"options":{"width":1}}"#, "/options/a~1b~0c: expected list<char>, found nothing"),
        (
            &params,
            r#"{"options":{"a/b~c":["x","xy"]}}"#,
            r#"/options/a~1b~0c/1: expected char (a string of exactly one character), found "xy""#,
        ),
        (
            &params,
            r#"{"options":{"widht":1}}"#,
            r#"/options/widht: expected one of "width", "a/b~c", found the unknown name "widht" (did you mean "width"?)"#,
        ),
        (
            &params,
            "[]",
            "expected record { options: record { width: u32, a/b~c: list<char> } }, found an array",
        ),
        (&kind, r#"{"tag":"sized"}"#, r#"/tag: expected one of "none", "size", found "sized""#),
        (&kind, r#"{"tag":"size"}"#, "/val: expected u8, found nothing"),
        (&kind, r#"{"val":300,"tag":"size"}"#, "/val: expected u8, found 300"),
        (&kind, r#"{"tag":"none","val":null}"#, r#"/val: expected no payload for "none", found null"#),
        (&kind, r#""size""#, r#"expected {"tag": "size", "val": u8}, found "size""#),
        (&kind, "{}", r#"/tag: expected one of "none", "size", found nothing"#),
        (&flags, r#"["read","read"]"#, r#"/1: expected each flag once, found "read""#),
        (&flags, r#"["exec"]"#, r#"/0: expected one of "read", "write", found "exec""#),
        (
            &Shape::Bytes,
            r#""AB""#,
            r#"expected list<u8> (base64 with padding, or an array of numbers), found "AB""#,
        ),
        (&Shape::U8, "[1", "expected u8, found an array"),
        (&Shape::Bytes, "[1", "expected `,` or `]`, found the end of the document at line 1, column 3"),
        (&Shape::F32, "1e39", "expected f32, found 1e39"),
        (&Shape::F64, "1e400", "expected f64, found 1e400"),
        (&Shape::Bool, "{\n  x", "expected bool, found an object"),
        (&params, "{\n \"é\" x", "expected `:`, found \"x\" at line 2, column 6"),
        (&Shape::Bool, "true false", "expected the end of the document, found \"f\" at line 1, column 6"),
    ];
    for (shape, json, expected) in cases {
        assert_eq!(message(shape, json), expected, "{json}");
    }
    let error = decode(&Shape::Bool, "tru").expect_err("no JSON");
    assert_eq!(error.kind, ArgErrorKind::BadJson);
    assert_eq!(
        decode_value(&Shape::Bool, b"\"\xff", &Limits::default()).expect_err("no UTF-8").kind,
        ArgErrorKind::BadJson
    );
}

#[test]
fn messages_stay_short_whatever_came() {
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    let many = record_of(&vec![("a-very-long-name-of-a-field", Shape::U8); 100]);
    for (shape, json) in [(&Shape::U8, &long), (&many, &long), (&Shape::U8, &"9".repeat(1 << 20))] {
        assert!(message(shape, json).len() < 500);
    }
    assert!(message(&many, &format!("{{{long}:1}}")).len() < 1000);
}

#[test]
fn bounds_are_met_before_values_are_built() {
    assert_eq!(size_of::<Val>(), 40, "the figure that the documentation states");
    let limits = Limits { depth_max: 3, elements_max: 10, bytes_max: 8 };
    let cases: Vec<(Shape, String, &str)> = vec![
        (Shape::list(Shape::U32), format!("[{}]", ["1"; 10].join(",")), "elements_max"),
        (Shape::String, "\"123456789\"".to_owned(), "bytes_max"),
        (Shape::String, "\"\\n12345678\"".to_owned(), "bytes_max"),
        (Shape::list(Shape::list(Shape::list(Shape::list(Shape::U32)))), "[[[[]]]]".to_owned(), "depth_max"),
        (variant_of(&[("a", None)]), "{\"val\":[[[[1]]]],\"tag\":\"a\"}".to_owned(), "depth_max"),
        (Shape::Bytes, "\"MTIzNDU2Nzg5MDEy\"".to_owned(), "elements_max"),
        (record_of(&vec![("o", Shape::option(Shape::U8)); 11]), "{}".to_owned(), "elements_max"),
    ];
    for (shape, json, limit) in cases {
        let error = decode_value(&shape, json.as_bytes(), &limits).expect_err(&json);
        assert_eq!((error.kind, error.limit), (ArgErrorKind::TooLarge, Some(limit)), "{json}: {error}");
        assert!(error.to_string().contains(limit), "{error}");
    }
    // 2^20 is one more than a multiple of three: its last byte takes two letters and two signs.
    let most = format!("\"{}AA==\"", "A".repeat(BYTE_LIST_BYTES_MAX / 3 * 4));
    assert!(decode(&Shape::Bytes, &most).is_ok());
    let error = decode(&Shape::Bytes, &most.replace("AA==", "AAA=")).expect_err("too long");
    assert_eq!(error.limit, Some("byte_list_bytes_max"));
    assert!(
        error.expected.contains("only parameter") && error.expected.contains("unblock:task/body"),
        "{error}"
    );
    assert!(decode_byte_field(&Shape::Bytes, &vec![0; BYTE_LIST_BYTES_MAX], &Limits::default()).is_ok());
    assert!(decode_byte_field(&Shape::Bytes, &vec![0; BYTE_LIST_BYTES_MAX + 1], &Limits::default()).is_err());
    let numbers = format!("[{}0]", "0,".repeat(BYTE_LIST_BYTES_MAX));
    assert_eq!(decode(&Shape::Bytes, &numbers).expect_err("too long").limit, Some("byte_list_bytes_max"));
}

#[test]
fn a_body_is_an_object_or_an_array_never_a_lone_value() {
    let params = [Param::new("first-word", Shape::U32), Param::new("rest", Shape::option(Shape::String))];
    let args = |json: &str| decode_args(&params, json.as_bytes(), &Limits::default());
    let expected = Ok(vec![Val::U32(1), Val::Option(None)]);
    for json in ["{\"first-word\":1}", "{\"rest\":null,\"first_word\":1}", "[1]", "[1,null]"] {
        assert_eq!(args(json), expected, "{json}");
    }
    let refused = |json: &str| args(json).expect_err(json).to_string();
    assert_eq!(refused(""), "/first-word: expected u32, found nothing");
    assert_eq!(refused("[]"), "/first-word: expected u32, found nothing");
    let accepted = "expected an object {\"first-word\": u32, \"rest\"?: option<string>} or an array in that order, found";
    assert_eq!(refused("1"), format!("{accepted} 1"));
    assert_eq!(refused("[1,null,2]"), format!("/2: {accepted} one value more"));
    assert_eq!(
        refused("{\"first-word\":1,\"first_word\":1}"),
        "/first_word: expected each name once, found a second value"
    );
    assert_eq!(decode_args(&[], b"", &Limits::default()), Ok(vec![]));
    assert_eq!(decode_args(&[], b" {} ", &Limits::default()), Ok(vec![]));
}

#[test]
fn a_query_spells_simple_values_without_quotes() {
    let color = Shape::Enum(strings(&["red", "dark-blue"]));
    let cases: Vec<(Shape, &[&str], &str)> = vec![
        (Shape::U32, &["7"], "7"),
        (Shape::S64, &["-9223372036854775808"], "\"-9223372036854775808\""),
        (Shape::F64, &["NaN"], "\"NaN\""),
        (Shape::F32, &["1e3"], "1000.0"),
        (Shape::Bool, &["true"], "true"),
        (Shape::Char, &["é"], "\"é\""),
        (Shape::String, &["null"], "\"null\""),
        (Shape::String, &[""], "\"\""),
        (color.clone(), &["dark-blue"], "\"dark-blue\""),
        (Shape::Bytes, &["AAE="], "\"AAE=\""),
        (Shape::option(Shape::U8), &[""], "null"),
        (Shape::option(Shape::U8), &["null"], "null"),
        (Shape::option(Shape::U8), &["3"], "3"),
        (Shape::option(Shape::String), &[""], "\"\""),
        (Shape::list(Shape::String), &["a", "b,c", "[x"], "[\"a\",\"b,c\",\"[x\"]"),
        (Shape::list(Shape::U16), &["1", "2"], "[1,2]"),
        (Shape::list(Shape::U16), &["[1, 2]"], "[1,2]"),
        (Shape::option(Shape::list(Shape::U16)), &["1"], "[1]"),
        (Shape::Flags(strings(&["r", "w", "x"])), &["r,x", "w"], "[\"r\",\"x\",\"w\"]"),
        (Shape::Flags(strings(&["r"])), &[""], "[]"),
        (record_of(&[("x", Shape::U8)]), &["{\"x\":1}"], "{\"x\":1}"),
        (Shape::option(Shape::option(Shape::U8)), &["{\"some\":null}"], "{\"some\":null}"),
    ];
    for (shape, texts, json) in cases {
        let params = [Param::new("the-name", shape.clone()), Param::new("o", Shape::option(Shape::U8))];
        let pairs: Vec<_> = texts.iter().map(|text| ("the_name".to_owned(), (*text).to_owned())).collect();
        let vals =
            decode_query(&params, &pairs, &Limits::default()).unwrap_or_else(|e| panic!("{shape}: {e}"));
        assert_eq!(text(&shape, &vals[0]), json, "{shape}: {texts:?}");
    }
}

#[test]
fn a_bad_query_names_the_parameter() {
    let params = [Param::new("width", Shape::U32), Param::new("opts", record_of(&[("x", Shape::U8)]))];
    let refused = |pairs: &[(&str, &str)]| {
        Args::new(&params, &Limits::default()).query(pairs).expect_err("bad").to_string()
    };
    assert_eq!(refused(&[("width", "wide")]), "/width: expected u32, found \"wide\"");
    assert_eq!(refused(&[("width", "+1")]), "/width: expected u32, found \"+1\"");
    assert_eq!(refused(&[("width", "1"), ("width", "2")]), "/width: expected one value for u32, found 2");
    assert_eq!(refused(&[("opts", "{")]), "/opts: expected JSON of type record { x: u8 }, found \"{\"");
    assert_eq!(refused(&[("opts", "{\"x\":-1}")]), "/opts/x: expected u8, found -1");
    assert_eq!(
        refused(&[("with", "1")]),
        "/with: expected one of \"width\", \"opts\", found the unknown name \"with\" (did you mean \"width\"?)"
    );
    let missing = decode_query(&params, &[], &Limits::default()).expect_err("nothing");
    assert_eq!(missing.to_string(), "/width: expected u32, found nothing");
}

#[test]
fn body_query_and_form_come_together_each_name_once() {
    let params = [
        Param::new("image", Shape::Bytes),
        Param::new("more", Shape::list(Shape::Bytes)),
        Param::new("width", Shape::U32),
        Param::new("name", Shape::option(Shape::String)),
    ];
    let mut args = Args::new(&params, &Limits::default());
    args.form(&[("image", &b"\xff\x00"[..]), ("more", b"a"), ("more", b"b"), ("name", b"n")]).unwrap();
    args.query(&[("width", "3")]).unwrap();
    let twice = args.json(b"{\"width\":4}").expect_err("twice").to_string();
    assert_eq!(twice, "/width: expected each name once, found a second value");
    let twice = args.query(&[("width", "4")]).expect_err("twice").to_string();
    assert_eq!(twice, "/width: expected each parameter once, found a second value");
    assert!(args.set(2, Val::U32(1)).is_err() && args.set(9, Val::U32(1)).is_err());
    let vals = args.finish().unwrap();
    assert_eq!(bytes_of(&vals[0], 2), Ok(vec![255, 0]));
    assert_eq!(bytes_of(&vals[0], 1), Err(EncodeError::TooLarge { limit_bytes: 1 }));
    assert_eq!(text(&params[1].shape, &vals[1]), "[\"YQ==\",\"Yg==\"]");
    assert_eq!(vals[2], Val::U32(3));
    assert!(decode_byte_field(&Shape::String, b"\xff", &Limits::default()).is_err());
    assert_eq!(decode_text_field(&Shape::U8, "7", &Limits::default()), Ok(Val::U8(7)));
}

#[test]
fn what_is_written_stops_at_the_bound() {
    let shapes_and_vals = [
        (Shape::String, Val::String("123456".to_owned())),
        (Shape::U64, Val::U64(u64::MAX)),
        (Shape::list(Shape::U8), Val::List(vec![Val::U8(1); 10])),
        (Shape::list(Shape::U32), Val::List(vec![Val::U32(10); 4])),
        (Shape::String, Val::String("\u{1}\u{2}".to_owned())),
    ];
    for (shape, val) in shapes_and_vals {
        let json = text(&shape, &val);
        let mut out = b"before".to_vec();
        assert_eq!(encode(&shape, &val, &mut out, json.len()), Ok(()));
        assert_eq!(out, format!("before{json}").into_bytes());
        for limit_bytes in 0..json.len() {
            assert_eq!(
                encode(&shape, &val, &mut Vec::new(), limit_bytes),
                Err(EncodeError::TooLarge { limit_bytes })
            );
        }
    }
    let error = encode(&Shape::Bool, &Val::U8(1), &mut Vec::new(), 9).expect_err("not a bool").to_string();
    assert_eq!(error, "expected a value of type bool, found a u8");
}

#[test]
fn a_schema_carries_the_documentation() {
    let mut param = Param::new("width", Shape::option(Shape::U32));
    param.doc = Some("In pixels.".to_owned());
    assert_eq!(
        params_schema(&[param]),
        json!({
            "type": "object",
            "properties": {"width": {
                "anyOf": [{"type": "integer", "minimum": 0, "maximum": 4294967295_u32}, {"type": "null"}],
                "description": "In pixels.",
            }},
            "additionalProperties": false,
        })
    );
}
