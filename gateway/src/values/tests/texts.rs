//! The reader against another one: any text is read as `serde_json` reads it, or refused where that
//! refuses; numbers against exact arithmetic on their digits.

use super::*;
use crate::values::json::{Reader, Token, integer};
use std::sync::LazyLock;

/// These cases are cheap.
const CASES: u32 = 5_000;

/// Any document, without its numbers' values.
fn read(reader: &mut Reader<'_>) -> Option<Value> {
    Some(match reader.peek().ok()? {
        token @ (Token::Null | Token::True | Token::False) => {
            reader.word(token);
            if token == Token::Null { Value::Null } else { Value::Bool(token == Token::True) }
        }
        Token::Number => serde_json::from_str(reader.number().ok()?).ok()?,
        Token::Text => {
            let (raw, escaped) = reader.raw_string().ok()?;
            Value::from(reader.unescape(raw, escaped).ok()?.into_owned())
        }
        Token::Array => {
            reader.open().ok()?;
            let (mut first, mut items) = (true, Vec::new());
            while reader.next(&mut first, b']').ok()? {
                items.push(read(reader)?);
            }
            Value::Array(items)
        }
        Token::Object => {
            reader.open().ok()?;
            let (mut first, mut members) = (true, serde_json::Map::new());
            while reader.next(&mut first, b'}').ok()? {
                let key = reader.key().ok()?.into_owned();
                members.insert(key, read(reader)?);
            }
            Value::Object(members)
        }
    })
}

fn document(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader::new(bytes, 100).ok()?;
    let value = read(&mut reader)?;
    reader.end().ok()?;
    Some(value)
}

fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\"a\"",
        "\"\\u00e9\"",
        "\"\\ud800\"",
        "\\n",
        "\\u12",
        "null",
        "true",
        "false",
        "nul",
        "0",
        "-",
        "1.",
        "1.5",
        "-0",
        "01",
        "1e5",
        "1e",
        "1E+2",
        ".5",
        " ",
        "\n",
        "\t",
        "\u{1}",
        "é",
        "\u{feff}",
        "{\"a\":",
        "[1,",
        "\"\"",
    ]);
    let text = vec(fragment, 1..8).prop_map(|parts| parts.concat().into_bytes());
    prop_oneof![4 => text, 1 => vec(any::<u8>(), 0..6)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn texts_are_read_as_another_reader_reads_them(bytes in fragments()) {
        prop_assert_eq!(document(&bytes), serde_json::from_slice::<Value>(&bytes).ok());
    }

    #[test]
    fn every_spelling_of_an_integer_is_exact(n in any::<i64>(), zeros in 0_usize..25, up in 0_u32..30) {
        let (sign, digits) = (if n < 0 { "-" } else { "" }, n.unsigned_abs().to_string());
        let n = i128::from(n);
        prop_assert_eq!(integer(&format!("{n}")), Some(n));
        prop_assert_eq!(integer(&format!("{n}.{}", "0".repeat(zeros + 1))), Some(n));
        prop_assert_eq!(integer(&format!("{n}{}e-{up}", "0".repeat(up as usize))), Some(n));
        prop_assert_eq!(integer(&format!("{sign}0.{}{digits}E+{}", "0".repeat(zeros), digits.len() + zeros)), Some(n));
        prop_assert_eq!(integer(&format!("{n}.{}1", "0".repeat(zeros))), None);
        if n % 10 != 0 {
            prop_assert_eq!(integer(&format!("{n}e-1")), None);
        }
        let scaled = 10_i128.checked_pow(up).and_then(|power| n.checked_mul(power));
        let small = scaled.filter(|scaled| u64::try_from(scaled.unsigned_abs()).is_ok());
        prop_assert_eq!(integer(&format!("{n}e{up}")), small);
    }

    #[test]
    fn floats_are_the_nearest_ones(bits in any::<u64>(), bits32 in any::<u32>()) {
        let (n, n32) = (f64::from_bits(bits), f32::from_bits(bits32));
        let limits = Limits::default();
        if n.is_finite() {
            prop_assert_eq!(decode_value(&Shape::F64, format!("{n}").as_bytes(), &limits), Ok(Val::Float64(n)));
        }
        if n32.is_finite() {
            // All digits of the exact value: rounding twice would differ now and then.
            let exact = format!("{:.200}", f64::from(n32));
            prop_assert_eq!(decode_value(&Shape::F32, exact.as_bytes(), &limits), Ok(Val::Float32(n32)));
        }
    }

    #[test]
    fn patterns_agree_with_the_decoder_on_strings(
        s in prop_oneof!["[-+]?[0-9]{1,3}", "-?922337203685477[0-9]{4}", "1844674407370955[0-9]{4}", "[AQgwE/+=\n]{0,9}"]
    ) {
        static SCHEMAS: LazyLock<Vec<(Shape, jsonschema::Validator)>> = LazyLock::new(|| {
            let shapes = [Shape::S64, Shape::U64, Shape::Bytes].into_iter();
            shapes.map(|shape| (shape.clone(), jsonschema::draft202012::new(&schema(&shape)).unwrap())).collect()
        });
        for (shape, schema) in SCHEMAS.iter() {
            let doc = Value::from(s.as_str());
            let decoded = decode_value(shape, doc.to_string().as_bytes(), &Limits::default());
            prop_assert_eq!(decoded.is_ok(), schema.is_valid(&doc), "{}: {}", shape, doc);
        }
    }
}

#[test]
fn absurd_exponents_are_refused_quickly() {
    for text in ["1e99999999999999999999", "1e-99999999999999999999", "1e9223372036854775807", "1e4000000000"]
    {
        assert_eq!(integer(text), None, "{text}");
    }
    assert_eq!(integer("0e99999999999999999999"), Some(0));
    assert_eq!(integer("-0.000e-99999999999999999999"), Some(0));
    assert_eq!(integer("18446744073709551615.0"), Some(i128::from(u64::MAX)));
}
