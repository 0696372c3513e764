//! The engine's view: random types are printed as a component that returns the list it is given,
//! so that [`Shape::from_type`] and the values we build are checked by the engine itself.

use super::*;
use std::fmt::Write as _;
use wasmtime::component::{Component, Linker, types::ComponentItem};
use wasmtime::{Engine, Store};

/// A component per case is compiled, so these are few.
const CASES: u32 = 24;

/// Defines `shape`, and what it consists of, and gives the name it has in the text.
fn define(shape: &Shape, defs: &mut String, count: &mut usize) -> String {
    let mut inner = |shape: &Shape| define(shape, defs, count);
    let quote = |labels: &[String]| labels.iter().map(|label| format!(" {label:?}")).collect::<String>();
    let (named, body) = match shape {
        Shape::F32 | Shape::F64 | Shape::Bool | Shape::Char | Shape::String => return shape.to_string(),
        Shape::S8
        | Shape::U8
        | Shape::S16
        | Shape::U16
        | Shape::S32
        | Shape::U32
        | Shape::S64
        | Shape::U64 => {
            return shape.to_string();
        }
        Shape::Bytes => (false, "(list u8)".to_owned()),
        Shape::List(item) => (false, format!("(list {})", inner(item))),
        Shape::Option(item) => (false, format!("(option {})", inner(item))),
        Shape::Tuple(slots) => {
            (false, format!("(tuple {})", slots.iter().map(inner).collect::<Vec<_>>().join(" ")))
        }
        Shape::Result(sides) => {
            let ok = sides.ok.as_ref().map(&mut inner).unwrap_or_default();
            let err = sides.err.as_ref().map(inner).map(|err| format!("(error {err})")).unwrap_or_default();
            (false, format!("(result {ok} {err})"))
        }
        Shape::Record(fields) => {
            let fields =
                fields.iter().map(|field| format!("(field {:?} {})", field.name, inner(&field.shape)));
            (true, format!("(record {})", fields.collect::<Vec<_>>().join(" ")))
        }
        Shape::Variant(cases) => {
            let cases = cases.iter().map(|case| {
                format!("(case {:?} {})", case.name, case.shape.as_ref().map(&mut inner).unwrap_or_default())
            });
            (true, format!("(variant {})", cases.collect::<Vec<_>>().join(" ")))
        }
        Shape::Enum(labels) => (true, format!("(enum{})", quote(labels))),
        Shape::Flags(labels) => (true, format!("(flags{})", quote(labels))),
        Shape::FixedList(..) | Shape::Map(..) => panic!("off in the engine"),
    };
    let n = *count;
    *count += 1;
    writeln!(defs, "(type $d{n} {body})").unwrap();
    if !named {
        return format!("$d{n}");
    }
    writeln!(defs, "(export $t{n} \"t{n}\" (type $d{n}))").unwrap();
    format!("$t{n}")
}

fn echo(item: &Shape) -> String {
    let mut defs = String::new();
    let item = define(item, &mut defs, &mut 0);
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") 4)
                (global $top (mut i32) (i32.const 16))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and
                        (i32.sub (i32.add (global.get $top) (local.get 2)) (i32.const 1))
                        (i32.sub (i32.const 0) (local.get 2))))
                    (global.set $top (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                (func (export "echo") (param i32 i32) (result i32)
                    (i32.store (i32.const 0) (local.get 0))
                    (i32.store (i32.const 4) (local.get 1))
                    (i32.const 0)))
            (core instance $i (instantiate $m))
            {defs}
            (type $list (list {item}))
            (func (export "echo") (param "x" $list) (result $list)
                (canon lift (core func $i "echo") (memory (core memory $i "memory"))
                    (realloc (core func $i "realloc")))))"#
    )
}

fn parameter(engine: &Engine, component: &Component, function: &str) -> wasmtime::component::Type {
    let ty = component.component_type();
    let export = ty.get_export(engine, function).expect("the export");
    match export.ty {
        ComponentItem::ComponentFunc(func) => func.params().next().expect("a parameter").1,
        _ => panic!("not a function"),
    }
}

fn through_the_engine(item: &Shape, val: &Val) -> (Shape, Val) {
    let engine = Engine::default();
    let bytes = wat::parse_str(echo(item)).unwrap_or_else(|e| panic!("{e}\n{}", echo(item)));
    let component = Component::new(&engine, bytes).unwrap_or_else(|e| panic!("{e:?}\n{}", echo(item)));
    let shape = Shape::from_type(&parameter(&engine, &component, "echo")).expect("a type that can cross");
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).expect("an instance");
    let func = instance.get_func(&mut store, "echo").expect("the function");
    let mut results = [Val::Bool(false)];
    func.call(&mut store, std::slice::from_ref(val), &mut results).expect("a call");
    let [result] = results;
    (shape, result)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_agrees_on_types_and_values(
        (item, val) in any_shape().prop_flat_map(|item| {
            let val = any_val(&Shape::list(item.clone()));
            (Just(item), val)
        })
    ) {
        let shape = Shape::list(item.clone());
        let json = text(&shape, &val);
        let decoded = decode_value(&shape, json.as_bytes(), &Limits::default()).unwrap();
        let (seen, back) = through_the_engine(&item, &decoded);
        prop_assert_eq!(&seen, &shape);
        prop_assert_eq!(text(&seen, &back), json);
    }
}

#[test]
fn a_rich_type_is_printed_as_wit() {
    let item = Shape::Record(
        [
            Param::new("width", Shape::U32),
            Param::new("tags", Shape::list(Shape::String)),
            Param::new("data", Shape::list(Shape::U8)),
            Param::new("mode", Shape::Enum(["fast".to_owned(), "good".to_owned()].into())),
            Param::new("perm", Shape::Flags(["read".to_owned()].into())),
            Param::new("at", Shape::Tuple([Shape::F32, Shape::F64].into())),
            Param::new("maybe", Shape::option(Shape::option(Shape::S64))),
            Param::new("done", Shape::result(None, Some(Shape::String))),
            Param::new(
                "kind",
                Shape::Variant(
                    [
                        Case { name: "none".to_owned(), shape: None },
                        Case { name: "some".to_owned(), shape: Some(Shape::Char) },
                    ]
                    .into(),
                ),
            ),
        ]
        .into(),
    );
    let (shape, _) = through_the_engine(&item, &Val::List(Vec::new()));
    assert_eq!(
        shape.to_string(),
        "list<record { width: u32, tags: list<string>, data: list<u8>, mode: enum { fast, good }, \
         perm: flags { read }, at: tuple<f32, f64>, maybe: option<option<s64>>, done: result<_, string>, \
         kind: variant { none, some(char) } }>"
    );
}

/// The reason why the parameter of the imported function `f` of interface `i` cannot cross.
fn refusal(defs: &str, ty: &str) -> String {
    let text = format!(r#"(component (import "i" (instance {defs} (export "f" (func (param "x" {ty}))))))"#);
    let mut config = wasmtime::Config::new();
    config.wasm_component_model_async(true);
    config.wasm_component_model_error_context(true);
    let engine = Engine::new(&config).unwrap();
    let component =
        Component::new(&engine, wat::parse_str(&text).unwrap()).unwrap_or_else(|e| panic!("{e:?}"));
    let ty = component.component_type();
    let import = ty.get_import(&engine, "i").unwrap();
    let ComponentItem::ComponentInstance(instance) = import.ty else { panic!("not an instance") };
    let ComponentItem::ComponentFunc(func) = instance.get_export(&engine, "f").unwrap().ty else {
        panic!("not a function")
    };
    let ty = func.params().next().unwrap().1;
    Shape::from_type(&ty).expect_err("a refusal").to_string()
}

#[test]
fn a_type_that_cannot_cross_says_where_and_why() {
    let resource = r#"(export "r" (type $r (sub resource)))"#;
    assert_eq!(refusal(resource, "(own $r)"), "a resource has no JSON form");
    assert_eq!(refusal(resource, "(borrow $r)"), "a resource has no JSON form");
    assert_eq!(refusal("(type $s (stream u8))", "$s"), "a stream has no JSON form");
    assert_eq!(refusal("(type $s (future u8))", "$s"), "a future has no JSON form");
    assert_eq!(refusal("(type $s error-context)", "$s"), "an error-context has no JSON form");
    let nested = r#"(type $s (stream u8)) (type $l (list $s))
        (type $d (record (field "data" $l))) (export "t" (type $t (eq $d)))"#;
    assert_eq!(refusal(nested, "$t"), "field data: in a list: a stream has no JSON form");
}

#[test]
fn a_type_that_unfolds_to_too_many_parts_is_refused() {
    let mut defs = "(type $t0 (tuple u8 u8))".to_owned();
    for n in 1..16 {
        write!(defs, "(type $t{n} (tuple $t{} $t{}))", n - 1, n - 1).unwrap();
    }
    assert!(refusal(&defs, "$t15").contains("more than 10000 parts"));
    let mut defs = "(type $t0 (list u8))".to_owned();
    for n in 1..60 {
        write!(defs, "(type $t{n} (list $t{}))", n - 1).unwrap();
    }
    assert!(refusal(&defs, "$t59").contains("nested deeper than 48 levels"));
}

#[test]
fn numbers_of_core_modules_are_signed() {
    use wasmtime::ValType;
    assert_eq!(Shape::from_core(&ValType::I32), Ok(Shape::S32));
    assert_eq!(Shape::from_core(&ValType::I64), Ok(Shape::S64));
    assert_eq!(Shape::from_core(&ValType::F32), Ok(Shape::F32));
    assert_eq!(Shape::from_core(&ValType::F64), Ok(Shape::F64));
    assert!(Shape::from_core(&ValType::V128).is_err());
    assert!(Shape::from_core(&ValType::FUNCREF).is_err());
}
