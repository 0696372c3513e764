//! WAVE: what is written is read back, for every type and value; what bad texts are told; and that
//! no text makes the walk use more stack or memory than its type allows.

use super::*;
use crate::values::{ArgError, ArgErrorKind, Args, EncodeError, decode_wave, encode_wave, encode_wave_bytes};
use wasmtime::component::wasm_wave::untyped::UntypedValue;

fn written(shape: &Shape, val: &Val) -> Result<String, EncodeError> {
    let mut out = Vec::new();
    encode_wave(shape, val, &mut out, usize::MAX)?;
    Ok(String::from_utf8(out).expect("WAVE is UTF-8"))
}

fn read(shape: &Shape, text: &str) -> Result<Val, ArgError> {
    decode_wave(shape, text.as_bytes(), &Limits::default())
}

fn message(shape: &Shape, text: &str) -> String {
    read(shape, text).expect_err(text).to_string()
}

fn labels(items: &[&str]) -> Arc<[String]> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn record_of(fields: &[(&str, Shape)]) -> Arc<[Param]> {
    fields.iter().map(|(name, shape)| Param::new(*name, shape.clone())).collect()
}

fn has_map(shape: &Shape) -> bool {
    shape.to_string().contains("map<")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_as_wave_is_read_back((shape, val) in shape_and_val()) {
        match written(&shape, &val) {
            Ok(text) => {
                let back = read(&shape, &text).map_err(|error| error.to_string());
                prop_assert_eq!(back, Ok(val), "{}: {}", shape, text);
                prop_assert!(UntypedValue::parse(&text).is_ok(), "{}", text);
            }
            Err(error) => {
                prop_assert!(has_map(&shape) && matches!(error, EncodeError::NoForm { .. }), "{}", error);
            }
        }
    }

    #[test]
    fn parameters_come_by_name_and_by_position(
        (params, vals) in record(any_shape()).prop_flat_map(|params| {
            let vals: Vec<_> = params.iter().map(|param| any_val(&param.shape)).collect();
            (Just(params), vals)
        })
    ) {
        let args = |text: &str| {
            let limits = Limits::default();
            let mut args = Args::new(&params, &limits);
            args.wave(text.as_bytes()).and_then(|()| args.finish()).map_err(|error| error.to_string())
        };
        let fields = params.iter().map(|param| param.name.clone()).zip(vals.iter().cloned());
        let by_name = written(&Shape::Record(params.clone()), &Val::Record(fields.collect())).unwrap();
        prop_assert_eq!(args(&by_name), Ok(vals.clone()), "{}", by_name);
        let tuple = Shape::Tuple(params.iter().map(|param| param.shape.clone()).collect());
        let by_position = written(&tuple, &Val::Tuple(vals.clone())).unwrap();
        prop_assert_eq!(args(&by_position), Ok(vals), "{}", by_position);
    }

    #[test]
    fn any_text_is_read_or_refused((shape, val) in shape_and_val(), at in any::<Index>(), what in select(vec![
        "(", ")", "{", "}", "[", "]", ",", ":", "\"", "'", "%", "-", "1", "1e999", "none", "some(", "ok", "err(1)", "//",
        "\"\"\"", "\n", "\\u{d800}", "é", "inf", "a", "a: 1",
    ])) {
        let Ok(mut text) = written(&shape, &val) else { return Ok(()) };
        let mut cut = at.index(text.len() + 1);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        text.insert_str(cut, what);
        if let Ok(val) = read(&shape, &text) {
            let again = written(&shape, &val).unwrap();
            prop_assert_eq!(read(&shape, &again).map_err(|e| e.to_string()), Ok(val), "{} became {}", text, again);
        }
    }
}

#[test]
fn each_type_has_its_form_and_some_more_in() {
    let case = |name: &str, shape| Case { name: name.to_owned(), shape };
    let colour = Shape::Variant([case("none", None), case("grey", Some(Shape::U8))].into());
    let picture =
        Shape::Record(record_of(&[("two-words", Shape::U32), ("maybe", Shape::option(Shape::Bool))]));
    let rows: Vec<(Shape, &str, &[&str])> = vec![
        (Shape::Bool, "true", &[]),
        (Shape::U64, "18446744073709551615", &[]),
        (Shape::S8, "-128", &["-128.0", "-1.28e2"]),
        (Shape::F64, "0.25", &["25e-2"]),
        (Shape::F32, "-inf", &[]),
        (Shape::F64, "nan", &[]),
        (Shape::Char, "'é'", &["'\\u{e9}'"]),
        (Shape::String, "\"a\\\"\\n\"", &["\"\\u{61}\\\"\\n\"", "\"\"\"\n  a\"\n  \n  \"\"\""]),
        (Shape::Bytes, "[104, 105]", &["[104,105,]"]),
        (Shape::FixedList(Arc::new(Shape::U8), 2), "[1, 2]", &[]),
        (Shape::Tuple([Shape::U8, Shape::Char].into()), "(1, 'x')", &["(1, 'x',) // a comment"]),
        (picture.clone(), "{two-words: 1}", &["{maybe: none, %two-words: 1}"]),
        (picture, "{two-words: 1, maybe: some(true)}", &["{two-words: 1, maybe: true}"]),
        (Shape::Record(record_of(&[("a", Shape::option(Shape::U8))])), "{:}", &["{}", "{a: none}"]),
        (Shape::Flags(labels(&["read", "true"])), "{read, true}", &["{%read, %true}", "{read, true,}"]),
        (Shape::Flags(labels(&["read"])), "{}", &[]),
        (Shape::Enum(labels(&["err", "fine"])), "%err", &[]),
        (colour.clone(), "grey(7)", &["%grey(7)"]),
        (Shape::option(colour), "some(%none)", &["%none"]),
        (Shape::option(Shape::option(Shape::U8)), "some(none)", &[]),
        (Shape::result(Some(Shape::U8), None), "ok(1)", &["1"]),
        (Shape::result(None, Some(Shape::String)), "err(\"x\")", &[]),
        (Shape::result(None, None), "ok", &[]),
    ];
    for (shape, form, more) in rows {
        let val = read(&shape, form).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!(written(&shape, &val).unwrap(), form);
        for text in more {
            assert_eq!(read(&shape, text).map_err(|error| error.to_string()), Ok(val.clone()), "{text}");
        }
    }
}

#[test]
fn mistakes_tell_what_was_found_where_and_what_is_expected() {
    let options = Shape::Record(record_of(&[("width", Shape::U32), ("tags", Shape::list(Shape::String))]));
    let switch = Shape::Enum(labels(&["true", "off"]));
    for (shape, text, told) in [
        (
            &options,
            "{width: \"wide\", tags: []}",
            r#"/width: expected u32, found "wide" at line 1, column 9"#,
        ),
        (
            &options,
            "{width: 1,\n tags: [\"a\", 2]}",
            "/tags/1: expected string, found `2` at line 2, column 14",
        ),
        (&options, "{width: 1}", "/tags: expected list<string>, found nothing"),
        (&options, "{width: 1, width: 2}", "/width: expected each name once, found a second value"),
        (
            &options,
            "{widht: 1}",
            r#"/widht: expected one of "width", "tags", found the unknown name "widht" (did you mean "width"?)"#,
        ),
        (&options, "{width: 1 tags: []}", "expected `,` or `}`, found `tags` at line 1, column 11"),
        (&options, "{width 1}", "/width: expected `:`, found `1` at line 1, column 8"),
        (&Shape::U8, "256", "expected u8, found `256` at line 1, column 1"),
        (&Shape::U8, "1 2", "expected the end of the document, found `2` at line 1, column 3"),
        (&Shape::U8, "", "expected u8, found the end of the document at line 1, column 1"),
        (&Shape::F32, "1e39", "expected f32, found `1e39` at line 1, column 1"),
        (&Shape::F64, "1e999", "expected f64, found `1e999` at line 1, column 1"),
        (&switch, "true", r#"expected one of "%true", "off", found `true` at line 1, column 1"#),
        (
            &Shape::option(Shape::option(Shape::U8)),
            "1",
            "expected some(…) or none for option<option<u8>>, found `1` at line 1, column 1",
        ),
        (
            &Shape::result(None, Some(Shape::U8)),
            "1",
            "expected ok(…) or err(…) for result<_, u8>, found `1` at line 1, column 1",
        ),
        (
            &Shape::Tuple([Shape::U8].into()),
            "(1, 2)",
            "/1: expected 1 items for tuple<u8>, found `2` at line 1, column 5",
        ),
    ] {
        assert_eq!(message(shape, text), told, "{text}");
    }
    let lexed = message(&Shape::U8, "[1, @]");
    assert!(lexed.contains("found `[`"), "{lexed}");
    let lexed = message(&Shape::list(Shape::U16), "[1,\n @]");
    assert!(lexed.contains(r#"found "@]" at line 2, column 2"#), "{lexed}");
    let escape = message(&Shape::String, "\"\\u{d800}\"");
    assert!(escape.contains("invalid character escape"), "{escape}");
    let bytes =
        decode_wave(&Shape::String, b"\"\xff\"", &Limits::default()).expect_err("not UTF-8").to_string();
    assert_eq!(bytes, "expected WAVE in UTF-8, found an invalid byte at line 1, column 2");
}

#[test]
fn a_map_has_no_form_and_both_directions_say_so() {
    let shape = Shape::list(Shape::Map(Arc::new(Shape::String), Arc::new(Shape::U8)));
    let error = written(&shape, &Val::List(Vec::new())).expect_err("no form").to_string();
    assert_eq!(error, "list<map<string, u8>>: a map has no form in WAVE; use JSON");
    assert!(message(&shape, "[{a: 1}]").contains("a map has no form in WAVE; use JSON"));
}

#[test]
fn parameters_are_refused_as_a_whole_when_they_are_no_record_and_no_tuple() {
    let params = [Param::new("width", Shape::U32), Param::new("note", Shape::option(Shape::String))];
    let limits = Limits::default();
    let read = |text: &str| {
        let mut args = Args::new(&params, &limits);
        args.wave(text.as_bytes()).and_then(|()| args.finish()).map_err(|error| error.to_string())
    };
    let expected = "a record {width: u32, note?: option<string>} or a tuple (…) in that order";
    for (text, found) in [("1", "`1` at line 1, column 1"), ("[1]", "`[` at line 1, column 1")] {
        assert_eq!(read(text), Err(format!("expected {expected}, found {found}")));
    }
    assert_eq!(
        read("(1, \"a\", 2)"),
        Err(format!("/2: expected {expected}, found `2` at line 1, column 10"))
    );
    assert_eq!(read("(1,)"), read("{width: 1}"));
    for nothing in ["", " ", "()", "{}", "{:}", "// nothing"] {
        assert_eq!(read(nothing), Err("/width: expected u32, found nothing".to_owned()), "{nothing:?}");
    }
    let mut twice = Args::new(&params, &limits);
    twice.query(&[("width", "1")]).unwrap();
    let error = twice.wave(b"{width: 2}").expect_err("twice").to_string();
    assert_eq!(error, "/width: expected each name once, found a second value");
}

#[test]
fn bounds_are_met_before_values_are_built() {
    let limits = Limits { elements_max: 10, bytes_max: 10, ..Limits::default() };
    let limit = |shape: &Shape, text: &str| {
        let error = decode_wave(shape, text.as_bytes(), &limits).expect_err("too large");
        assert_eq!(error.kind, ArgErrorKind::TooLarge, "{error}");
        error.limit
    };
    assert_eq!(limit(&Shape::list(Shape::U16), "[1,1,1,1,1,1,1,1,1,1]"), Some("elements_max"));
    assert_eq!(limit(&Shape::String, "\"0123456789\""), Some("bytes_max"));
    let long = format!("[{}]", "1,".repeat((1 << 20) + 1));
    let error = decode_wave(&Shape::Bytes, long.as_bytes(), &Limits::default()).expect_err("too long");
    assert_eq!(error.limit, Some("byte_list_bytes_max"));

    let mut out = Vec::new();
    let error = encode_wave(&Shape::String, &Val::String("12345".to_owned()), &mut out, 6);
    assert_eq!(error, Err(EncodeError::TooLarge { limit_bytes: 6 }));
    assert!(encode_wave_bytes(&[1, 20, 255], &mut Vec::new(), 11).is_err());
    let mut out = Vec::new();
    encode_wave_bytes(&[1, 20, 255], &mut out, 12).unwrap();
    assert_eq!(out, b"[1, 20, 255]");
}

/// Less than a thread of the pool has.
const STACK_BYTES: usize = 256 << 10;

#[test]
fn no_text_overflows_the_stack() {
    let many = 4 << 20;
    let texts = [
        "(".repeat(many),
        "[".repeat(many),
        "some(".repeat(many),
        "{a:".repeat(many),
        "a(".repeat(many),
        "//\n".repeat(many),
        "//x\n \t".repeat(many),
        format!("\"{}\"", "a\\n\\u{e9}é".repeat(many)),
        format!("\"{}", "a".repeat(many)),
        "a-".repeat(many),
        "1e".repeat(many),
        "\"\"\"\n".repeat(many),
    ];
    let nested = (0..40).fold(Shape::String, |inner, n| match n % 3 {
        0 => Shape::option(inner),
        1 => Shape::list(inner),
        _ => Shape::Tuple([inner].into()),
    });
    let small = std::thread::Builder::new().stack_size(STACK_BYTES);
    let walk = move || {
        for text in &texts {
            for shape in [&nested, &Shape::String, &Shape::list(Shape::U8)] {
                let read = decode_wave(shape, text.as_bytes(), &Limits::default());
                assert!(read.is_err(), "{} of {shape}", text.get(..8).unwrap_or_default());
            }
        }
    };
    small.spawn(walk).unwrap().join().unwrap();
}
