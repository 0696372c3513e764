//! Types whose fields no task can see, some of one name. Tasks elsewhere use them.

/// A place on the map.
#[derive(Debug, PartialEq, unblock::Record)]
pub struct Place {
    name: String,
    /// Metres above the sea.
    height: Option<f64>,
    list: Vec<self::inner::Place>,
}

impl Place {
    /// A place for tests.
    #[cfg(test)]
    pub fn sample() -> Self {
        Self { name: "here".into(), height: None, list: Vec::new() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

pub mod inner {
    //! Another module, another type of the same name.

    use super::Paint as PaintOfAnotherName;

    /// A place in a queue.
    #[derive(Debug, PartialEq, unblock::Record)]
    pub struct Place {
        r#use: u32,
        paint: Option<PaintOfAnotherName>,
    }
}

/// A shape.
#[derive(Debug, PartialEq, unblock::Variant)]
pub enum Shape {
    /// None at all.
    Empty,
    /// By its radius.
    Circle(f64),
    /// From here to there.
    Line((i32, i32), (i32, i32)),
    /// With colours.
    Painted(Paint),
}

/// What is on a shape.
#[derive(Debug, PartialEq, unblock::Record)]
pub struct Paint {
    colours: Vec<Colour>,
    r#type: Option<Rights>,
}

/// A colour.
#[derive(Clone, Copy, Debug, PartialEq, unblock::Enum)]
pub enum Colour {
    /// Like blood.
    Red,
    /// Like the sea.
    DeepBlue,
}

/// What may be done.
#[derive(Debug, PartialEq, unblock::Flags)]
pub struct Rights {
    /// To look at it.
    read: bool,
    r#static: bool,
    execute_all: bool,
}
