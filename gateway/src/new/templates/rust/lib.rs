//! The task `{{name}}`: every function with `#[unblock::task]` can be called over HTTP.
//!
//! Block as you like: sleep, loop, compute. An `Err` tells the caller what is wrong with the input; a panic
//! is the task's own failure.

/// Greets somebody.
#[unblock::task]
fn greet(name: String) -> Result<String, String> {
    match name.trim() {
        "" => Err("found an empty name, expected somebody to greet".to_owned()),
        name => Ok(format!("Hello, {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_greeted() {
        assert_eq!(greet("you".to_owned()), Ok("Hello, you".to_owned()));
        assert!(greet(" ".to_owned()).is_err());
    }
}
