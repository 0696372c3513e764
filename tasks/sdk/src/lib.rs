//! What a task in Rust imports: `#[unblock::task]` on a plain function is all it needs.
//!
//! ```
//! /// Greets somebody, after a while.
//! #[unblock::task]
//! fn greet(name: String, seconds: Option<f64>) -> Result<String, String> {
//!     let pause = std::time::Duration::try_from_secs_f64(seconds.unwrap_or(0.0))
//!         .map_err(|error| format!("cannot wait for {seconds:?} seconds: {error}"))?;
//!     std::thread::sleep(pause); // block as you like: nobody else waits
//!     Ok(format!("Hello, {name}"))
//! }
//!
//! fn main() {
//!     assert_eq!(greet("you".into(), None), Ok("Hello, you".into())); // still a plain function
//! }
//! ```
//!
//! In a crate of type `cdylib`, built for `wasm32-wasip2`, that is a component: put it in the
//! gateway's tasks folder, say as `hello.wasm`, and `curl -d '{"name": "you"}'
//! localhost:8888/tasks/hello/greet`. Any number of functions in any modules of a crate may be tasks,
//! under any names, as long as no two have the same; `#[task(name = "…")]` gives one another name for
//! callers. Doc comments of functions, types, fields and cases travel along; what the crate is for is
//! the `description` in its Cargo.toml.
//!
//! # What may cross
//!
//! | Rust | in JSON |
//! |---|---|
//! | `bool`, `u8` … `u64`, `i8` … `i64`, `f32`, `f64`, `char`, `String` | as one would expect |
//! | `Vec<T>`, tuples | an array |
//! | `Vec<u8>` | a string in base64; the only parameter or result: the raw body |
//! | `Option<T>` | the value, or `null`, or left away |
//! | a struct that derives [`Record`] | an object |
//! | an enum that derives [`Enum`] | the case's name |
//! | an enum that derives [`Variant`] | `{"tag": "case", "val": …}` |
//! | a struct of `bool`s that derives [`Flags`] | an array of the names of the true ones |
//! | `Result<T, E>` as the result | the value, or a 422 `task-error` that carries the error |
//! | [`Body`] as a parameter, [`Raw`] as the result or as `Result<Raw, E>` | raw bytes |
//!
//! Parameters may also be borrowed: `&str`, `&[T]`, `Option<&str>`, `&T`; a result may be a `&str`.
//! Names become WIT's: `retry_count` and `TooLarge` are `retry-count` and `too-large` to callers.
//! What cannot cross is refused by the compiler, with what to use instead. The types must be defined
//! in the crate of the task.
//!
//! ```
//! /// A place on the map.
//! #[derive(unblock::Record)]
//! struct Place {
//!     name: String,
//!     /// Metres above the sea, if known.
//!     height: Option<f64>,
//! }
//!
//! #[derive(unblock::Variant)]
//! enum Refusal {
//!     /// There is no place to choose from.
//!     NoPlaces,
//!     /// The height of this place is not known.
//!     Unknown(String),
//! }
//!
//! /// Finds the highest of some places.
//! #[unblock::task]
//! fn highest(places: Vec<Place>) -> Result<Place, Refusal> {
//!     if let Some(place) = places.iter().find(|place| place.height.is_none()) {
//!         return Err(Refusal::Unknown(place.name.clone()));
//!     }
//!     let height = |place: &Place| place.height.unwrap_or(f64::NAN);
//!     places.into_iter().max_by(|a, b| height(a).total_cmp(&height(b))).ok_or(Refusal::NoPlaces)
//! }
//! # fn main() { assert!(highest(Vec::new()).is_err()) }
//! ```
//!
//! # Bytes, progress, time
//!
//! ```
//! use unblock::{Body, Raw};
//!
//! /// Answers with the upper-case of a text.
//! #[unblock::task]
//! fn shout(mut body: Body, from: Option<u32>) -> Result<Raw, String> {
//!     unblock::progress(0.0, "reading");
//!     let text = String::from_utf8(body.read_all()).map_err(|error| error.to_string())?;
//!     let rest = text.get(from.unwrap_or(0) as usize..).ok_or("`from` is past the end")?;
//!     if unblock::remaining().cpu.as_secs() < 1 {
//!         return Err("too little time is left to shout".into());
//!     }
//!     Ok(Raw::new("text/plain", rest.to_uppercase()))
//! }
//!
//! fn main() {
//!     assert_eq!(shout("hello".into(), Some(1)), Ok(Raw::new("text/plain", "ELLO")));
//! }
//! ```
//!
//! # When it goes wrong
//!
//! An `Err` tells the caller what is wrong with the input. A panic is the task's own failure: the
//! caller gets a 500 `trap` whose `stderr` holds message and place. What is printed to standard
//! output or standard error is kept with the call.

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod body;
mod host;

pub use body::{Body, Raw};
pub use host::{Remaining, progress, remaining};
pub use unblock_sdk_macros::{Enum, Flags, Record, Variant, task};

/// The definition of [`Body`](struct@Body), found as those of the user's types are.
#[doc(hidden)]
#[macro_export]
macro_rules! __body_definition {
    ($($state:tt)*) => { $crate::__private::next! {
        "{\"root\":0,\"definitions\":[{\"id\":\"unblock::Body\",\"name\":\"Body\",\"docs\":\"\",\"shape\":\"Body\"}]}"
        $($state)*
    } };
}

/// The definition of [`Raw`](struct@Raw).
#[doc(hidden)]
#[macro_export]
macro_rules! __raw_definition {
    ($($state:tt)*) => { $crate::__private::next! {
        "{\"root\":0,\"definitions\":[{\"id\":\"unblock::Raw\",\"name\":\"Raw\",\"docs\":\"\",\"shape\":\"Raw\"}]}"
        $($state)*
    } };
}

#[doc(hidden)]
pub use {__body_definition as Body, __raw_definition as Raw};

impl __private::Crosses for Body {}
impl __private::Crosses for Raw {}
