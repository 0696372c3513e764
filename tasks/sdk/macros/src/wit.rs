//! Writes the interface of one task in WIT, and takes its documentation out again as a section.
//!
//! Each function has a world and an interface of its own, named after it; the linker that makes the
//! component puts all worlds of a crate together. A function in an interface is no symbol of the C
//! library's, whatever its name. Knows nothing of Rust's syntax.

use crate::model::{Definition, Member, Shape, Ty};
use anyhow::{Context as _, Result};
use heck::{ToKebabCase as _, ToUpperCamelCase as _};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use wit_parser::{PackageMetadata, Resolve};

/// Names of types that the generated code, or WIT's readers, would take for something else.
const TAKEN: [&str; 6] = ["box", "guest", "option", "result", "string", "vec"];

/// A function as it is exported.
pub struct Function<'a> {
    /// Its name in WIT, which is its interface's, too.
    pub name: &'a str,
    /// Its doc comment.
    pub docs: &'a str,
    /// Parameters that cross, by name.
    pub params: &'a [(String, Ty)],
    /// What it returns, if anything.
    pub result: Option<&'a Ty>,
    /// What the types' places point to.
    pub definitions: &'a [Definition],
    /// The definitions' names in WIT; `None` for what is no type there.
    pub type_names: &'a [Option<String>],
}

/// The names of the definitions in WIT: all different, and none the function's own.
pub fn type_names(function: &str, definitions: &[Definition]) -> Vec<Option<String>> {
    let mut used: Vec<String> = TAKEN.iter().map(|name| (*name).to_owned()).collect();
    used.push(function.to_owned());
    let mut name = |definition: &Definition| {
        if matches!(definition.shape, Shape::Body | Shape::Raw) {
            return None;
        }
        let plain = definition.name.to_kebab_case();
        let free = |name: &String| {
            // wit-bindgen tells types apart by their names in camel case.
            !used.iter().any(|used| used.to_upper_camel_case() == name.to_upper_camel_case())
        };
        let others = (2..).map(|number| format!("{plain}-type{number}"));
        let name = [plain.clone(), format!("{plain}-type")].into_iter().chain(others).find(free)?;
        used.push(name.clone());
        Some(name)
    };
    definitions.iter().map(&mut name).collect()
}

impl Function<'_> {
    /// The package with the function's world.
    pub fn package(&self) -> String {
        // Names are escaped with %, for any of them may be a keyword of WIT.
        let name = self.name;
        let mut text = format!("package sdk:f-{name};\nworld task {{\nexport %{name}: interface {{\n");
        for (definition, name) in self.definitions.iter().zip(self.type_names) {
            if let Some(name) = name {
                self.definition(&mut text, definition, name);
            }
        }
        docs(&mut text, self.docs);
        let params: Vec<String> =
            self.params.iter().map(|(name, ty)| format!("%{name}: {}", self.ty(ty))).collect();
        let result = self.result.map(|ty| format!(" -> {}", self.ty(ty))).unwrap_or_default();
        let _ = write!(text, "%{name}: func({}){result};\n}}\n}}\n", params.join(", "));
        text
    }

    fn definition(&self, text: &mut String, definition: &Definition, name: &str) {
        docs(text, &definition.docs);
        let members: Vec<(&Member, String)> = match &definition.shape {
            Shape::Record(fields) => {
                fields.iter().map(|(member, ty)| (member, format!(": {}", self.ty(ty)))).collect()
            }
            Shape::Variant(cases) => {
                cases.iter().map(|(member, values)| (member, self.payload(values))).collect()
            }
            Shape::Enum(members) | Shape::Flags(members) => {
                members.iter().map(|member| (member, String::new())).collect()
            }
            Shape::Body | Shape::Raw => return,
        };
        let keyword = match &definition.shape {
            Shape::Record(_) => "record",
            Shape::Variant(_) => "variant",
            Shape::Flags(_) => "flags",
            Shape::Enum(_) | Shape::Body | Shape::Raw => "enum",
        };
        let _ = writeln!(text, "{keyword} %{name} {{");
        for (member, rest) in members {
            docs(text, &member.docs);
            let _ = writeln!(text, "%{}{rest},", member.name);
        }
        text.push_str("}\n");
    }

    fn payload(&self, values: &[Ty]) -> String {
        let types: Vec<String> = values.iter().map(|value| self.ty(value)).collect();
        match types.as_slice() {
            [] => String::new(),
            [one] => format!("({one})"),
            several => format!("(tuple<{}>)", several.join(", ")),
        }
    }

    fn ty(&self, ty: &Ty) -> String {
        match ty {
            Ty::Scalar(name) => scalar(name).to_owned(),
            Ty::Text | Ty::BorrowedText => "string".to_owned(),
            Ty::List(item) => format!("list<{}>", self.ty(item)),
            Ty::Option(item) => format!("option<{}>", self.ty(item)),
            Ty::Result(None, None) => "result".to_owned(),
            Ty::Result(Some(ok), None) => format!("result<{}>", self.ty(ok)),
            Ty::Result(None, Some(err)) => format!("result<_, {}>", self.ty(err)),
            Ty::Result(Some(ok), Some(err)) => format!("result<{}, {}>", self.ty(ok), self.ty(err)),
            Ty::Tuple(items) => {
                let items: Vec<String> = items.iter().map(|item| self.ty(item)).collect();
                format!("tuple<{}>", items.join(", "))
            }
            Ty::Named(place) => {
                let name = self.type_names.get(*place).and_then(Option::as_ref);
                name.map_or_else(String::new, |name| format!("%{name}"))
            }
        }
    }
}

/// What WIT calls a type that Rust calls `u32`.
fn scalar(name: &str) -> &str {
    match name {
        "i8" => "s8",
        "i16" => "s16",
        "i32" => "s32",
        "i64" => "s64",
        same => same,
    }
}

fn docs(text: &mut String, docs: &str) {
    for line in docs.lines() {
        // WIT refuses some characters even in comments.
        let line: String = line.chars().map(|c| if allowed(c) { c } else { ' ' }).collect();
        let _ = writeln!(text, "/// {line}");
    }
}

/// Control characters, overrides of the writing direction, and letters that Unicode discourages.
fn allowed(c: char) -> bool {
    let refused = matches!(c,
        '\u{149}' | '\u{673}' | '\u{f77}' | '\u{f79}' | '\u{17a3}' | '\u{17a4}' | '\u{17b4}' | '\u{17b5}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !refused && !c.is_control()
}

/// The contents of the custom section `package-docs`: a version, then JSON. `task` says what the
/// whole crate is good for.
pub fn docs_section(resolve: &Resolve, package: wit_parser::PackageId, task: &str) -> Result<Vec<u8>> {
    let encoded = PackageMetadata::extract(resolve, package).encode()?;
    let (version, text) = encoded.split_first().context("the documentation is empty")?;
    let document: Value = serde_json::from_slice(text)?;
    // In a component there is one world, which tools call "root".
    let mut root = Map::new();
    if !task.is_empty() {
        root.insert("docs".to_owned(), Value::from(task));
    }
    if let Some(exports) = document.pointer("/worlds/task/interface_exports") {
        root.insert("interface_exports".to_owned(), exports.clone());
    }
    let mut section = vec![*version];
    serde_json::to_writer(&mut section, &json!({ "worlds": { "root": root } }))?;
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str, shape: Shape) -> Definition {
        Definition { id: name.into(), name: name.into(), docs: "What\u{202e} it is.\nMore.".into(), shape }
    }

    fn member(name: &str) -> Member {
        Member { name: name.into(), docs: "A member.".into() }
    }

    #[test]
    fn hostile_names_make_a_package_that_parses_and_keeps_its_docs() -> Result<()> {
        let definitions = [
            definition(
                "Write",
                Shape::Record(vec![
                    (member("type"), Ty::Named(1)),
                    (member("list"), Ty::List(Box::new(Ty::Option(Box::new(Ty::Named(2)))))),
                    (member("use"), Ty::Result(None, None)),
                ]),
            ),
            definition("Option", Shape::Enum(vec![member("func"), member("a-2")])),
            definition(
                "Guest",
                Shape::Variant(vec![
                    (member("none"), vec![]),
                    (member("result"), vec![Ty::Scalar("i8".into()), Ty::Scalar("char".into())]),
                ]),
            ),
            definition("Body", Shape::Body),
            definition("write", Shape::Flags(vec![member("static")])),
        ];
        let names = type_names("write", &definitions);
        let text = |name: &str| Some(name.to_owned());
        assert_eq!(
            names,
            [text("write-type"), text("option-type"), text("guest-type"), None, text("write-type2")]
        );
        let function = Function {
            name: "write",
            docs: "Writes.",
            params: &[("interface".into(), Ty::Named(0)), ("from".into(), Ty::Named(4))],
            result: Some(&Ty::Tuple(vec![Ty::Text, Ty::Scalar("u64".into())])),
            definitions: &definitions,
            type_names: &names,
        };
        let mut resolve = Resolve::default();
        let package = resolve.push_str("test.wit", &function.package())?;
        let section = docs_section(&resolve, package, "A task.")?;
        let document: Value = serde_json::from_slice(section.get(1..).unwrap_or_default())?;
        let docs =
            |pointer: &str| document.pointer(&format!("/worlds/root/{pointer}")).and_then(Value::as_str);
        assert_eq!(docs("docs"), Some("A task."));
        assert_eq!(docs("interface_exports/write/funcs/write/docs"), Some("Writes."), "{document:#}");
        let types = "interface_exports/write/types";
        assert_eq!(docs(&format!("{types}/write-type/docs")), Some("What  it is.\nMore."), "{document:#}");
        Ok(())
    }
}
