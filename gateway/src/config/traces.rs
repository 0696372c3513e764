//! Where traces go: our flag, or OpenTelemetry's own variables.
//!
//! The variables' names and meanings are those of the "Environment Variable Specification" and of "OTLP
//! Exporter" in OpenTelemetry's specification. How spans are sent is not known here.

use super::reader::Reader;
use crate::traces;

impl Reader {
    /// Where traces go, by our flag or by OpenTelemetry's own variables.
    pub(super) fn traces(
        &mut self,
        flag: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<traces::Settings> {
        let variable = |name: &str| variable(name).filter(|text| !text.is_empty());
        let either = |what: &str| {
            let of = |name: String| variable(&name).map(|text| (name, text));
            of(format!("OTEL_EXPORTER_OTLP_TRACES_{what}"))
                .or_else(|| of(format!("OTEL_EXPORTER_OTLP_{what}")))
        };
        let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
            || variable("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none");
        let (source, url) = match flag {
            Some("off") => return None,
            Some(url) => ("--traces (or UNBLOCK_TRACES)".to_owned(), url.to_owned()),
            None if disabled => return None,
            None => either("ENDPOINT")?,
        };
        let mut wrong = |source: &str, message: String| self.mistakes.push(format!("{source}: {message}"));
        let protocol = match either("PROTOCOL") {
            None => None,
            Some((source, text)) => match text.as_str() {
                "grpc" => Some(traces::Protocol::Grpc),
                "http/protobuf" => Some(traces::Protocol::Http),
                other => {
                    wrong(&source, format!("found {other:?}, expected grpc or http/protobuf"));
                    None
                }
            },
        };
        let sampling = sampling(variable("OTEL_TRACES_SAMPLER"), variable("OTEL_TRACES_SAMPLER_ARG"));
        let sampling = sampling.unwrap_or_else(|(source, message)| {
            wrong(source, message);
            traces::Sampling::default()
        });
        let whole = source == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        match collector(&url, protocol, whole) {
            Ok((endpoint, protocol)) => {
                let service = variable("OTEL_SERVICE_NAME");
                Some(traces::Settings { endpoint, protocol, sampling, service })
            }
            Err(message) => {
                wrong(&source, message);
                None
            }
        }
    }
}

/// The port of collectors for gRPC.
const GRPC_PORT: u16 = 4317;

/// The path of collectors for traces by HTTP.
const TRACES_PATH: &str = "v1/traces";

/// The URL that spans are sent to. Below the one that was given, unless that is `whole`.
fn collector(
    text: &str,
    protocol: Option<traces::Protocol>,
    whole: bool,
) -> Result<(String, traces::Protocol), String> {
    let expected =
        || format!("found {text:?}, expected a collector's URL, such as http://localhost:4317, or off");
    let mut url = url::Url::parse(text).map_err(|_| expected())?;
    match url.scheme() {
        "http" => {}
        "https" => {
            return Err(format!(
                "found {text:?}, expected http://: traces are sent in clear; send them to a collector on this machine \
                 or in its network, which sends them on under TLS (--traces off, to have none)"
            ));
        }
        _ => return Err(expected()),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(expected());
    }
    // Nobody who sends to that port means HTTP.
    let protocol = protocol.unwrap_or(match url.port() {
        Some(GRPC_PORT) => traces::Protocol::Grpc,
        _ => traces::Protocol::Http,
    });
    if protocol == traces::Protocol::Http && !whole {
        let path = format!("{}/{TRACES_PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok((url.to_string(), protocol))
}

/// Which calls are traced, by the standard's names.
fn sampling(
    name: Option<String>,
    argument: Option<String>,
) -> Result<traces::Sampling, (&'static str, String)> {
    let Some(name) = name else { return Ok(traces::Sampling::default()) };
    let (parent, own) = match name.strip_prefix("parentbased_") {
        Some(own) => (true, own),
        None => (false, name.as_str()),
    };
    let part = match own {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => {
            let text = argument.as_deref().unwrap_or("1");
            let part = text.parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part));
            part.ok_or_else(|| {
                (
                    "OTEL_TRACES_SAMPLER_ARG",
                    format!("found {text:?}, expected a part from 0 to 1, such as 0.1"),
                )
            })?
        }
        _ => {
            return Err((
                "OTEL_TRACES_SAMPLER",
                format!(
                    "found {name:?}, expected always_on, always_off or traceidratio, with or without parentbased_ before it"
                ),
            ));
        }
    };
    Ok(traces::Sampling { parent, part })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::{Protocol, Sampling};

    /// What a flag and variables make of the settings of traces.
    fn traces(flag: Option<&str>, variables: &[(&str, &str)]) -> (Option<traces::Settings>, Vec<String>) {
        let mut reader = Reader::default();
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let read = reader.traces(flag, variable);
        (read, reader.mistakes)
    }

    #[test]
    fn a_collectors_url_says_how_and_where_it_is_spoken_to() {
        let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
        for (flag, variables, endpoint, protocol) in [
            (Some("http://a:4317"), &[][..], "http://a:4317/", Protocol::Grpc),
            (Some("http://a:4318"), &[], "http://a:4318/v1/traces", Protocol::Http),
            (Some("http://a/otlp/"), &[(base, "http://b")], "http://a/otlp/v1/traces", Protocol::Http),
            (None, &[(base, "http://b:9")], "http://b:9/v1/traces", Protocol::Http),
            (
                None,
                &[(base, "http://b"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                "http://b/",
                Protocol::Grpc,
            ),
            (
                None,
                &[(base, "http://b"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/here")],
                "http://c/here",
                Protocol::Http,
            ),
        ] {
            let (read, mistakes) = traces(flag, variables);
            let read = read.map(|settings| (settings.endpoint, settings.protocol));
            assert_eq!((read, mistakes), (Some((endpoint.to_owned(), protocol)), vec![]), "{variables:?}");
        }
        for (flag, variables) in [
            (None, &[][..]),
            (Some("off"), &[(base, "http://b")]),
            (None, &[(base, "")]),
            (None, &[(base, "http://b"), ("OTEL_TRACES_EXPORTER", "none")]),
            (None, &[(base, "https://b"), ("OTEL_SDK_DISABLED", "TRUE")]),
        ] {
            assert_eq!(traces(flag, variables), (None, vec![]), "{variables:?}");
        }
    }

    #[test]
    fn which_calls_are_traced_is_said_by_the_standards_names() {
        for (name, argument, parent, part) in [
            ("always_on", "", false, 1.0),
            ("always_off", "", false, 0.0),
            ("traceidratio", "0.25", false, 0.25),
            ("parentbased_always_on", "", true, 1.0),
            ("parentbased_always_off", "", true, 0.0),
            ("parentbased_traceidratio", "0.5", true, 0.5),
        ] {
            let argument = Some(argument.to_owned()).filter(|text| !text.is_empty());
            assert_eq!(sampling(Some(name.to_owned()), argument), Ok(Sampling { parent, part }), "{name}");
        }
        assert_eq!(sampling(None, None), Ok(Sampling { parent: true, part: 1.0 }));
        for (name, argument) in [("traceidratio", "1.5"), ("traceidratio", "x"), ("parentbased_jaeger", "1")]
        {
            assert!(sampling(Some(name.to_owned()), Some(argument.to_owned())).is_err(), "{name} {argument}");
        }
    }
}
