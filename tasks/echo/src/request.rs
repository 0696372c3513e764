//! What the request line says, as text.

use wasip2::http::types::Method;

/// Path and query, without the question mark.
pub fn split(path_with_query: &str) -> (&str, &str) {
    path_with_query.split_once('?').unwrap_or((path_with_query, ""))
}

/// The first parameter of this name; values without escapes are enough here.
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The method as it stands in the request line.
pub fn method(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_by_its_whole_name() {
        let (path, query) = split("/tasks/echo/first-byte?xdelay_ms=1&delay_ms=20");
        assert_eq!((path, parameter(query, "delay_ms")), ("/tasks/echo/first-byte", Some("20")));
        assert_eq!(parameter(split("/tasks/echo").1, "delay_ms"), None);
    }
}
