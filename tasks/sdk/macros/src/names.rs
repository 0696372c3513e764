//! From Rust's names to those of WIT, and doc comments as text.
//!
//! WIT wants lower-case ASCII words with hyphens; everything else a Rust name may hold is refused
//! here, at the name. Knows nothing of what is named.

use heck::ToKebabCase as _;
use proc_macro2::{Ident, Span};
use syn::ext::IdentExt as _;
use syn::{Attribute, Error, Expr, ExprLit, Lit, Meta, Result};

/// `retry_count`, `RetryCount` and `r#type` → `retry-count`, `retry-count` and `type`.
pub fn kebab(ident: &Ident) -> Result<String> {
    let plain = ident.unraw().to_string();
    from_text(&plain, ident.span())
}

/// The same for a name that was given as text.
pub fn from_text(plain: &str, span: Span) -> Result<String> {
    let name = plain.to_kebab_case();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if plain.is_ascii() && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed) {
        return Ok(name);
    }
    let message = format!(
        "`{plain}` cannot be a name in WIT, where names are made of ASCII letters and digits and begin with a \
         letter: rename it"
    );
    Err(Error::new(span, message))
}

/// The texts of the doc comments, one line each, without the space they begin with.
pub fn docs(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
        {
            for line in text.value().split('\n') {
                lines.push(line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
            }
        }
    }
    lines.join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_words_with_hyphens() {
        for (rust, wit) in [
            ("retry_count", "retry-count"),
            ("HTTPError", "http-error"),
            ("_unused", "unused"),
            ("type_", "type"),
            ("a_2", "a-2"),
            ("Sha256", "sha256"),
            ("__a__b", "a-b"),
        ] {
            assert_eq!(from_text(rust, Span::call_site()).ok().as_deref(), Some(wit), "{rust}");
        }
        for rust in ["größe", "_", "_1", "日本"] {
            assert!(from_text(rust, Span::call_site()).is_err(), "{rust}");
        }
    }

    #[test]
    fn docs_lose_only_their_indentation() -> Result<()> {
        let item: syn::ItemFn = syn::parse_str("/// One.\n///\n///   Two.\n#[doc = \"Three.\"] fn f() {}")?;
        assert_eq!(docs(&item.attrs), "One.\n\n  Two.\nThree.");
        Ok(())
    }
}
