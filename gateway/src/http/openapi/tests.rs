//! The parts of the document that need no task: problems, the gateway's own URLs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use super::{document, problems};
use crate::error::{Error, Kind};
use crate::http::error::Context;
use crate::http::id::CallId;
use crate::registry::Snapshot;
use crate::task::Phase;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

fn accepts(schema: &Value, doc: &Value) -> bool {
    jsonschema::draft202012::new(schema).expect("a valid schema").is_valid(doc)
}

#[tokio::test]
async fn every_problem_document_is_what_its_schema_says() {
    let mut schema = problems::schema();
    // A member that the schema does not name would go unseen.
    schema["additionalProperties"] = json!(false);
    for kind in Kind::ALL {
        let mut error = Error::new(kind, "d").at(Phase::Encode).limit("input", "4B".into());
        error.pointer = Some("/seconds".into());
        error.expected = Some("f64".into());
        error.nearest = vec!["sleep".into()];
        error.backtrace = vec!["main".into()];
        error.stderr = Some("oh\n".into());
        error.hints = vec!["grant it".into()];
        error.value = Some("[1]".into());
        let call = CallId("c-1".into());
        let context = Context { task: Some("sleep"), function: Some("run"), ..Context::of(&call) };
        let bytes = context.respond(&error).into_body().collect().await.expect("a body").to_bytes();
        let document: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert!(accepts(&schema, &document), "{document:#}");
        assert_eq!(document.as_object().unwrap().len(), schema["properties"].as_object().unwrap().len());
    }
    for example in schema["examples"].as_array().unwrap() {
        assert!(accepts(&schema, example), "{example:#}");
    }
}

#[tokio::test]
async fn a_gateway_without_tasks_describes_itself() {
    let document = document::of(&Snapshot::default(), true).await;
    assert_eq!(document["security"], json!([{ "token": [] }]));
    assert_eq!(document["paths"]["/livez"]["get"]["security"], json!([]));
    assert!(document["paths"]["/tasks"]["get"].get("security").is_none());
    assert_eq!(document["openapi"], "3.1.0");
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    for path in ["/", "/tasks", "/tasks/{task}", "/livez", "/readyz", "/problems/{slug}", "/openapi.json"] {
        assert!(paths.iter().any(|known| *known == path), "{path}: {paths:?}");
    }
    every_reference_leads_somewhere(&document, &document);
}

fn every_reference_leads_somewhere(whole: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                assert!(whole.pointer(target.trim_start_matches('#')).is_some(), "{target}");
            }
            members.values().for_each(|part| every_reference_leads_somewhere(whole, part));
        }
        Value::Array(items) => items.iter().for_each(|part| every_reference_leads_somewhere(whole, part)),
        _ => {}
    }
}
