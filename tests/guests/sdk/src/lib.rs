//! A task for tests: every type that crosses, in both directions, and names that would collide with
//! the C library, with WIT, with Rust or with each other. Its own tests pass values through the
//! generated code natively; the gateway's call the component.

mod names;
mod shapes;

use shapes::{Place, Shape, inner};

/// Gives back what it got.
#[unblock::task]
#[allow(clippy::too_many_arguments, reason = "one for each type")]
fn scalars(
    a: bool,
    b: u8,
    c: u16,
    d: u32,
    e: u64,
    f: i8,
    g: i16,
    h: i32,
) -> (bool, u8, u16, u32, u64, i8, i16, i32) {
    (a, b, c, d, e, f, g, h)
}

/// Gives back what it got.
#[unblock::task]
fn more(i: i64, j: f32, k: f64, l: char, m: std::string::String) -> (i64, f32, f64, char, String) {
    (i, j, k, l, m)
}

/// Gives back what it got.
#[unblock::task]
#[allow(clippy::type_complexity, reason = "that is the point")]
fn nested(
    list: Vec<Vec<Option<String>>>,
    option: Option<Option<(u8, Vec<char>)>>,
    result: Result<Vec<u8>, Option<f32>>,
    empty: Result<(), ()>,
) -> (Vec<Vec<Option<String>>>, Option<Option<(u8, Vec<char>)>>, Result<Vec<u8>, Option<f32>>, Result<(), ()>)
{
    (list, option, result, empty)
}

/// Reads the raw request body; the functions beside it don't.
#[unblock::task]
fn weigh(mut body: unblock::Body, twice: bool) -> u64 {
    let bytes = body.read_all().len() as u64;
    if twice { bytes * 2 } else { bytes }
}

/// Writes the raw response, and takes its arguments like any other function.
#[unblock::task]
fn draw(text: String, times: u8) -> unblock::Raw {
    unblock::Raw::new("text/x-drawing", text.repeat(times.into()).into_bytes())
}

/// Gives back what it got; the function has the name of a type.
#[unblock::task]
fn shape(shapes: Vec<Shape>) -> Vec<Shape> {
    shapes
}

/// Records in lists in options, one of them of a type that has another one's name.
#[unblock::task]
fn places(places: Option<Vec<Place>>, other: inner::Place) -> Option<(Vec<Place>, inner::Place)> {
    places.map(|places| (places, other))
}

/// What is borrowed is copied.
#[unblock::task]
fn borrowed<'a>(
    text: &'a str,
    bytes: &[u8],
    maybe: Option<&str>,
    some: Option<&[u32]>,
    place: &Place,
    list: &[Place],
) -> Result<(&'a str, Vec<&'static str>), &'static str> {
    if text.is_empty() || place.name().is_empty() {
        return Err("there is no text");
    }
    let lengths = [bytes.len(), maybe.map_or(0, str::len), some.map_or(0, <[u32]>::len), list.len()];
    Ok((text, lengths.iter().map(|length| if *length > 0 { "some" } else { "none" }).collect()))
}

/// Says nothing.
#[unblock::task]
fn nothing() {}

/// Refuses without a word.
#[unblock::task(name = "delete-all")]
fn delete(really: bool) -> Result<(), ()> {
    if really { Ok(()) } else { Err(()) }
}

/// Fails.
#[unblock::task]
#[allow(clippy::panic, reason = "that is the point")]
fn fails(why: String) -> u8 {
    panic!("because of {why}")
}

/// How much time is left, in whole seconds: by the clock and of the processor.
#[unblock::task]
fn budget() -> (u64, u64) {
    unblock::progress(0.5, "half");
    let remaining = unblock::remaining();
    (remaining.wall.as_secs(), remaining.cpu.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_still_plain_functions() {
        nothing();
        assert_eq!(delete(true), Ok(()));
        assert_eq!(budget().0, u64::MAX);
        let place = Place::sample();
        assert_eq!(
            borrowed("a", b"b", None, Some(&[]), &place, &[]),
            Ok(("a", vec!["some", "none", "none", "none"]))
        );
    }

    #[test]
    fn values_pass_through_the_generated_code_unchanged() {
        use super::__unblock_task_shape::{Task, exports::shape as wit};
        let every = || {
            vec![
                wit::ShapeType::Empty,
                wit::ShapeType::Circle(1.5),
                wit::ShapeType::Line(((1, 2), (3, 4))),
                wit::ShapeType::Painted(wit::Paint {
                    colours: vec![wit::Colour::Red, wit::Colour::DeepBlue],
                    type_: Some(wit::Rights::READ | wit::Rights::EXECUTE_ALL),
                }),
            ]
        };
        let back = <Task as wit::Guest>::shape(every());
        assert_eq!(format!("{back:?}"), format!("{:?}", every()));
    }
}
