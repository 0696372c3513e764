//! Functions and types with names of the C library, of WIT, of Rust and of the generated code.

macro_rules! echo {
    ($($name:ident)*) => { $(
        /// Gives back what it got.
        #[unblock::task]
        fn $name($name: u32, _other: Option<String>) -> u32 { $name }
    )* };
}

echo! { write malloc free getenv memcpy abort main_ read exit r#type r#use r#match result option list string record
interface world import export func own borrow resource stream future bool_ char_ tuple static_ include package
guest task exports rt a_1 }

/// A type with the name of a trait of the generated code.
#[derive(unblock::Record)]
pub struct Guest {
    r#type: u8,
    list: Vec<u8>,
    r#use: bool,
    result: Result<u8, String>,
    from: Option<Task>,
    self_: u8,
}

/// A type with the name of a type of the generated code.
#[derive(unblock::Enum)]
enum Task {
    None,
    Some,
    Ok,
    Err,
    Interface,
    SelfSame,
}

/// All of them.
#[unblock::task]
fn hostile(guest: Guest) -> Guest {
    guest
}
