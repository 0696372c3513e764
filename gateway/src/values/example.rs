//! An example of every type: a small document that the decoder accepts.
//!
//! Owns what stands for a value nobody has thought of yet, for people to read and to change. It must
//! not know where an example is shown.

use super::budget::Limits;
use super::decode::decode_value;
use super::rows::{OK, Row, SOME, TAG, VAL, may_be_absent};
use super::shape::{Param, Shape, Sides};
use super::wave::encode_wave;
use serde_json::{Map, Value, json};

/// Most parts of one example: a larger one teaches nobody.
const PARTS_MAX: usize = 500;

/// Longest example in WAVE, in bytes.
const WAVE_BYTES_MAX: usize = 64 << 10;

/// A document that is a value of `shape`; none if the smallest one is too large to be read.
#[must_use]
pub fn example(shape: &Shape) -> Option<Value> {
    Walk { parts_left: PARTS_MAX }.value(shape)
}

/// The same value as a WAVE document; none if it has no form there.
#[must_use]
pub fn example_wave(shape: &Shape) -> Option<String> {
    let json = example(shape)?.to_string();
    let val = decode_value(shape, json.as_bytes(), &Limits::default()).ok()?;
    let mut wave = Vec::new();
    encode_wave(shape, &val, &mut wave, WAVE_BYTES_MAX).ok()?;
    String::from_utf8(wave).ok()
}

/// An object of arguments by name: all of them, or only those that must be given.
#[must_use]
pub fn example_args(params: &[Param], all: bool) -> Option<Value> {
    let shown = params.iter().filter(|param| all || !may_be_absent(&param.shape));
    Walk { parts_left: PARTS_MAX }.members(shown)
}

struct Walk {
    parts_left: usize,
}

impl Walk {
    fn value(&mut self, shape: &Shape) -> Option<Value> {
        self.parts_left = self.parts_left.checked_sub(1)?;
        Some(match Row::of(shape) {
            Row::Bool => json!(true),
            Row::Int(_) => json!(1),
            Row::Float32 | Row::Float64 => json!(0.5),
            Row::Char => json!("a"),
            Row::Text => json!("text"),
            Row::Bytes => json!("Ynl0ZXM="),
            Row::Items { item, len } => {
                let len = usize::try_from(len.unwrap_or(1)).ok()?;
                (0..len).map(|_| self.value(item)).collect::<Option<Vec<_>>>()?.into()
            }
            Row::Slots(slots) => {
                slots.iter().map(|slot| self.value(slot)).collect::<Option<Vec<_>>>()?.into()
            }
            Row::Entries(value) => member("key", self.value(value)?),
            Row::Pairs(key, value) => json!([[self.value(key)?, self.value(value)?]]),
            Row::Members(fields) => self.members(fields.iter())?,
            Row::Tagged(cases) => {
                let case = cases.first()?;
                let mut tagged = member(TAG, case.name.as_str().into());
                if let (Some(shape), Value::Object(members)) = (&case.shape, &mut tagged) {
                    members.insert(VAL.to_owned(), self.value(shape)?);
                }
                tagged
            }
            Row::Label(labels) => json!(labels.first()?),
            Row::Labels(labels) => labels.iter().take(1).cloned().collect::<Vec<_>>().into(),
            Row::Nullable { inner, wrapped: false } => self.value(inner)?,
            Row::Nullable { inner, wrapped: true } => member(SOME, self.value(inner)?),
            Row::Outcome(Sides { ok, .. }) => match ok {
                Some(shape) => member(OK, self.value(shape)?),
                None => member(OK, Value::Null),
            },
        })
    }

    fn members<'p>(&mut self, fields: impl Iterator<Item = &'p Param>) -> Option<Value> {
        let members = fields.map(|field| Some((field.name.clone(), self.value(&field.shape)?)));
        members.collect::<Option<Map<_, _>>>().map(Value::Object)
    }
}

fn member(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}
