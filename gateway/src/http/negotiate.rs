//! Which form of a result, or of the metrics, the client accepts (RFC 9110, section 12.5.1).
//!
//! A function has one natural media type, and every result can be written as JSON or WAVE instead; so
//! the whole question is which of them the `Accept` header ranks highest. Pure functions over header
//! values; nothing here knows how a result is written.

use crate::error::{Error, Kind};
use crate::metrics::Form;
use crate::runtime::Answer;
use crate::task::Format;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// A media range's worth in thousandths, and how exactly it names the type (0 to 2).
type Rank = (u16, u8);

/// The form in which the result of a function with this natural answer is to be written.
///
/// Of two equal ranks the more exactly named wins, so `application/json, */*` means JSON, and the
/// natural type wins what is left, JSON before WAVE.
///
/// # Errors
/// `not-acceptable` with what can be produced.
pub fn format(headers: &HeaderMap, answer: Answer, raw: bool) -> Result<Format, Error> {
    if !headers.contains_key(ACCEPT) {
        return Ok(Format::Natural);
    }
    let json = rank(headers, "application", "json");
    let wave = rank(headers, "text", "x-wave");
    let natural = match answer {
        Answer::Empty => return Ok(Format::Natural),
        Answer::Json => json,
        Answer::Text => rank(headers, "text", "plain"),
        Answer::Binary => rank(headers, "application", "octet-stream"),
        // What flows has one form.
        Answer::Stream if rank(headers, "application", "octet-stream").0 > 0 => return Ok(Format::Natural),
        Answer::Stream => return Err(refuse(headers, answer)),
    };
    // The guest chooses the type of a raw answer when it runs; only "nothing at all" is known now.
    let any = raw && ranges(headers).any(|(_, q)| q > 0);
    if json.0 == 0 && wave.0 == 0 && natural.0 == 0 && !any {
        return Err(refuse(headers, answer));
    }
    Ok(match natural.max(json).max(wave) {
        best if best == natural => Format::Natural,
        best if best == json => Format::Json,
        _ => Format::Wave,
    })
}

/// The form of the metrics' text: OpenMetrics for clients that name it and want nothing else more, the
/// older one for all others, so that it comes to people and to `promtool`, which reads no other.
pub fn exposition(headers: &HeaderMap) -> Form {
    let open = rank(headers, "application", "openmetrics-text");
    let named = open.1 == EXACT && open.0 > 0;
    if named && open.0 >= rank(headers, "text", "plain").0 { Form::OpenMetrics } else { Form::Prometheus }
}

/// How exactly a range names its one type.
const EXACT: u8 = 2;

fn refuse(headers: &HeaderMap, answer: Answer) -> Error {
    let found: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let produced = match answer {
        Answer::Text => "text/plain, application/json or text/x-wave",
        Answer::Binary => "application/octet-stream, application/json or text/x-wave",
        Answer::Stream => "application/octet-stream",
        Answer::Json | Answer::Empty => "application/json or text/x-wave",
    };
    Error::new(
        Kind::NotAcceptable,
        format!("found Accept: {}, expected {produced} among them", found.join(", ")),
    )
}

/// The best match for a type: the most exact range decides, whatever its quality.
fn rank(headers: &HeaderMap, main: &str, sub: &str) -> Rank {
    let mut best: Rank = (0, 0);
    let mut found = false;
    for (range, quality) in ranges(headers) {
        let Some((range_main, range_sub)) = range.split_once('/') else { continue };
        let exact = match (range_main, range_sub) {
            ("*", "*") => 0,
            (m, "*") if m.eq_ignore_ascii_case(main) => 1,
            (m, s) if m.eq_ignore_ascii_case(main) && s.eq_ignore_ascii_case(sub) => 2,
            _ => continue,
        };
        if !found || exact > best.1 || (exact == best.1 && quality > best.0) {
            best = (quality, exact);
            found = true;
        }
    }
    best
}

/// Whether the client would have a page rather than plain text: it names `text/html`, which browsers do and
/// programs that take anything don't, and ranks it no lower.
pub fn page(headers: &HeaderMap) -> bool {
    let (quality, exact) = rank(headers, "text", "html");
    exact == 2 && quality > 0 && quality >= rank(headers, "text", "plain").0
}

/// Every media range with its quality; parameters other than `q` don't matter to us.
fn ranges(headers: &HeaderMap) -> impl Iterator<Item = (&str, u16)> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().filter(|name| !name.is_empty())?;
            let quality = parts
                .filter_map(|part| part.split_once('='))
                .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
                .map_or(Some(1000), |(_, q)| quality(q.trim()))?;
            Some((name, quality))
        })
}

/// `0`, `1`, `0.8`, `1.000` in thousandths; a malformed one takes its range out of the list.
fn quality(text: &str) -> Option<u16> {
    let value: f32 = text.parse().ok()?;
    (0.0..=1.0).contains(&value).then_some((value * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn asked(accept: &str, answer: Answer) -> Result<Format, Kind> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("a header value"));
        format(&headers, answer, false).map_err(|error| error.kind)
    }

    #[test]
    fn metrics_are_openmetrics_for_whoever_names_it() {
        let asked = |accept: Option<&'static str>| {
            let headers = accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept)));
            exposition(&headers.into_iter().collect())
        };
        // What Prometheus sends.
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(asked(Some(prometheus)), Form::OpenMetrics);
        let others =
            ["*/*", "text/plain", "application/*", "application/openmetrics-text;q=0.1,text/plain;q=0.5", ""];
        for accept in others.map(Some).into_iter().chain([None]) {
            assert_eq!(asked(accept), Form::Prometheus, "{accept:?}");
        }
    }

    #[test]
    fn nothing_asked_or_everything_accepted_means_the_natural_form() {
        assert_eq!(format(&HeaderMap::new(), Answer::Text, false).ok(), Some(Format::Natural));
        for accept in [
            "*/*",
            "",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/*",
            "TEXT/PLAIN; charset=utf-8, */*",
        ] {
            let expected = if accept.is_empty() { Err(Kind::NotAcceptable) } else { Ok(Format::Natural) };
            assert_eq!(asked(accept, Answer::Text), expected, "{accept}");
        }
    }

    #[test]
    fn browsers_get_the_page_and_programs_do_not() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", true),
            ("Text/HTML", true),
            ("text/html;q=0.1, application/json", true),
            ("*/*", false),
            ("text/*", false),
            ("text/html;q=0, */*", false),
            ("text/plain, text/html;q=0.9", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(page(&headers), expected, "{accept}");
        }
        assert!(!page(&HeaderMap::new()));
    }

    #[test]
    fn json_is_written_where_it_ranks_higher() {
        for accept in [
            "application/json",
            "application/json, */*",
            "application/json, text/plain;q=0.9",
            "text/plain;q=0, */*",
            "application/*",
            "Application/JSON;Q=0.5",
        ] {
            assert_eq!(asked(accept, Answer::Text), Ok(Format::Json), "{accept}");
        }
    }

    #[test]
    fn wave_is_written_where_it_ranks_highest() {
        for accept in
            ["text/x-wave", "text/x-wave, */*", "text/x-wave, application/json;q=0.9", "Text/X-Wave;q=0.1"]
        {
            for answer in [Answer::Text, Answer::Binary, Answer::Json] {
                assert_eq!(asked(accept, answer), Ok(Format::Wave), "{accept}");
            }
        }
        assert_eq!(asked("text/*", Answer::Json), Ok(Format::Wave));
        assert_eq!(asked("text/*", Answer::Text), Ok(Format::Natural));
        assert_eq!(asked("application/json, text/x-wave", Answer::Text), Ok(Format::Json));
        assert_eq!(asked("text/x-wave;q=0, application/json;q=0.1", Answer::Json), Ok(Format::Natural));
    }

    #[test]
    fn the_natural_form_wins_a_draw() {
        for accept in [
            "application/json, text/plain, */*",
            "text/plain, application/json;q=0.9",
            "application/json;q=0, */*",
        ] {
            assert_eq!(asked(accept, Answer::Text), Ok(Format::Natural), "{accept}");
        }
    }

    #[test]
    fn what_cannot_be_produced_is_refused_before_anything_runs() {
        for accept in
            ["image/png", "application/json;q=0, text/plain;q=0", "*/*;q=0", "text/plain;q=2", "nonsense"]
        {
            assert_eq!(asked(accept, Answer::Text), Err(Kind::NotAcceptable), "{accept}");
        }
        assert_eq!(asked("text/plain", Answer::Json), Err(Kind::NotAcceptable));
        assert_eq!(asked("image/png", Answer::Empty), Ok(Format::Natural));
    }

    #[test]
    fn a_raw_answer_is_refused_only_when_everything_is() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("image/png"));
        assert_eq!(format(&headers, Answer::Empty, true).ok(), Some(Format::Natural));
        assert_eq!(format(&headers, Answer::Text, true).ok(), Some(Format::Natural));
        headers.insert(ACCEPT, HeaderValue::from_static("image/png;q=0"));
        assert!(format(&headers, Answer::Text, true).is_err());
    }
}
