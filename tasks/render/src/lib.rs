//! Sample task: renders Jinja templates, which strangers may send: a template cannot harm anybody
//! but its own call.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error};

/// What is wrong with a template or its data.
#[derive(unblock::Record)]
struct TemplateError {
    /// One line for people: what is wrong.
    message: String,
    /// The line of the template, counted from 1; `none` if the template is not to blame.
    line: Option<u32>,
    /// The column in that line, in characters, counted from 1.
    column: Option<u32>,
    /// The offending lines of the template, with the place marked; empty if there is none.
    detail: String,
}

/// Renders a Jinja template.
///
/// `data` is the text of a JSON object: its members are the template's variables. A variable
/// that is missing prints as nothing. Nothing is escaped unless the template asks for it, with
/// the filter `escape` or a block `{% autoescape true %}`.
#[unblock::task]
fn render(template: &str, data: &str) -> Result<String, TemplateError> {
    let data = variables(data)?;
    let mut environment = Environment::new();
    environment.set_debug(true); // keeps the positions of errors
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment
        .template_from_str(template)
        .and_then(|compiled| compiled.render(data))
        .map_err(|error| template_error(&error, template))
}

/// Macros that call themselves end here with an error; the stack would have room for a few more.
const RECURSION_LIMIT: usize = 100;

fn variables(data: &str) -> Result<Value, TemplateError> {
    let wrong = |message| TemplateError { message, line: None, column: None, detail: String::new() };
    let data: Value =
        serde_json::from_str(data).map_err(|error| wrong(format!("data is not JSON: {error}")))?;
    match data.kind() {
        ValueKind::Map => Ok(data),
        kind => Err(wrong(format!("data must be a JSON object, but is: {kind}"))),
    }
}

fn template_error(error: &Error, template: &str) -> TemplateError {
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let position = error.range().and_then(|range| position(template, range.start));
    let line = position.map(|(line, _)| line).or_else(|| error.line());
    let column = position.map(|(_, column)| column);
    TemplateError {
        message,
        line: line.and_then(|line| line.try_into().ok()),
        column: column.and_then(|column| column.try_into().ok()),
        detail: line.map(|line| excerpt(template, line, column)).unwrap_or_default(),
    }
}

/// Line and column, both counted from 1, of a byte of the text.
fn position(text: &str, offset: usize) -> Option<(usize, usize)> {
    let before = text.get(..offset)?;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    Some((line, before.get(start..)?.chars().count() + 1))
}

/// The line, with up to two lines before it, and a mark below the column.
fn excerpt(text: &str, line: usize, column: Option<usize>) -> String {
    let first = line.saturating_sub(3);
    let shown = text.lines().enumerate().skip(first).take(line - first);
    let mut excerpt: String = shown.map(|(index, text)| format!("{:>4} | {text}\n", index + 1)).collect();
    if let Some(column) = column {
        excerpt.push_str(&format!("     | {}^\n", " ".repeat(column - 1)));
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was rendered, or `line:column message`.
    fn rendered(template: &str, data: &str) -> String {
        render(template, data).unwrap_or_else(|error| {
            let number = |number: Option<u32>| number.map_or("-".into(), |number| number.to_string());
            format!("{}:{} {}", number(error.line), number(error.column), error.message)
        })
    }

    #[test]
    fn renders_variables_in_the_order_they_were_sent() {
        let template = "{% for key, value in pairs | items %}{{ key }}={{ value }};{% endfor %}";
        assert_eq!(rendered(template, r#"{"pairs": {"b": 1, "a": [true, null]}}"#), "b=1;a=[True, None];");
        assert_eq!(rendered("Hello {{ name }}!", r#"{"name": "<b>"}"#), "Hello <b>!");
        assert_eq!(rendered("{{ name | e }}{{ missing }}", r#"{"name": "<b>"}"#), "&lt;b&gt;");
    }

    #[test]
    fn errors_name_the_place() {
        assert_eq!(rendered("one\n{% if %}", "{}"), "2:7 syntax error: unexpected end of block");
        assert_eq!(rendered("né {{ name | shout }}", "{}"), "1:14 unknown filter: filter shout is unknown");
        assert!(rendered("a\nb {{ missing.name }}", "{}").starts_with("2:6 undefined value"));
    }

    #[test]
    fn the_detail_points_at_the_place() {
        let error = render("a\n{{ 1 + }}", "{}").err();
        let detail = error.map(|error| error.detail).unwrap_or_default();
        assert_eq!(detail, "   1 | a\n   2 | {{ 1 + }}\n     |        ^\n");
    }

    #[test]
    fn bad_data_is_told_from_a_bad_template() {
        assert_eq!(rendered("", "{"), "-:- data is not JSON: EOF while parsing an object at line 1 column 1");
        assert_eq!(rendered("", "[1]"), "-:- data must be a JSON object, but is: sequence");
    }

    #[test]
    fn endless_recursion_is_an_error() {
        let template = "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}";
        let rendered = rendered(template, "{}");
        assert!(rendered.contains("recursion limit"), "{rendered}");
    }
}
