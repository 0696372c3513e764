//! A task made with the Rust SDK, called as a component: every type in both directions, hostile
//! names, documentation, errors and panics. Its source is `tests/guests/sdk`.

use crate::support::{Gateway, Server, guest};
use serde_json::{Value, json};

fn serve() -> Server {
    Gateway::new().file("sdk.wasm", guest("sdk")).start()
}

async fn call(server: &Server, function: &str, arguments: &Value) -> Value {
    server.post(&format!("/tasks/sdk/{function}"), &arguments.to_string()).await.json()
}

#[tokio::test]
async fn every_type_crosses_both_ways() {
    let server = serve();
    let scalars = json!({"a": true, "b": 255, "c": 65535, "d": 4294967295_u32, "e": 9007199254740991_u64, "f": -128,
        "g": -32768, "h": -2147483648});
    let values: Vec<Value> = scalars.as_object().unwrap().values().cloned().collect();
    assert_eq!(call(&server, "scalars", &scalars).await, Value::Array(values));
    let more = json!({"i": -5, "j": 0.1, "k": "NaN", "l": "\u{fc}", "m": "text"});
    assert_eq!(call(&server, "more", &more).await, json!([-5, 0.1, "NaN", "\u{fc}", "text"]));
    let nested = json!({"list": [["a", null], []], "option": {"some": [1, ["x"]]}, "result": {"ok": "AAE="},
        "empty": {"err": null}});
    let values: Vec<Value> = nested.as_object().unwrap().values().cloned().collect();
    assert_eq!(call(&server, "nested", &nested).await, Value::Array(values));
    let shapes = json!([
        {"tag": "empty"},
        {"tag": "circle", "val": 1.5},
        {"tag": "line", "val": [[1, 2], [3, 4]]},
        {"tag": "painted", "val": {"colours": ["red", "deep-blue"], "type": ["read", "execute-all"]}},
    ]);
    assert_eq!(call(&server, "shape", &json!({"shapes": shapes})).await, shapes);
    let place =
        json!({"name": "a", "height": null, "list": [{"use": 3, "paint": {"colours": [], "type": null}}]});
    let other = json!({"use": 4, "paint": null});
    let both = call(&server, "places", &json!({"places": [place], "other": other})).await;
    assert_eq!(both, json!([[place], other]));
    let borrowed = json!({"text": "t", "bytes": "AAE=", "place": place, "list": []});
    assert_eq!(call(&server, "borrowed", &borrowed).await, json!(["t", ["some", "none", "none", "none"]]));
}

#[tokio::test]
async fn raw_bodies_belong_to_the_functions_that_name_them() {
    let server = serve();
    let weigh = crate::support::client().post(server.url("/tasks/sdk/weigh?twice=true"));
    let reply = server.send(weigh.header("content-type", "application/json").body("{\"no\": 1")).await;
    assert_eq!(reply.ok(), "16");
    let reply = server.post("/tasks/sdk/draw", r#"{"text": "ab", "times": 2}"#).await;
    assert_eq!((reply.ok().as_str(), reply.header("content-type")), ("abab", Some("text/x-drawing")));
    let told = server.json_of("sdk").await;
    let functions = told["functions"].as_array().unwrap();
    let raw = |name: &str| {
        let function = functions.iter().find(|function| function["name"] == name).unwrap();
        (function["raw_body"].as_bool().unwrap(), function["raw_answer"].as_bool().unwrap())
    };
    assert_eq!([raw("weigh"), raw("draw"), raw("scalars")], [(true, false), (false, true), (false, false)]);
}

#[tokio::test]
async fn no_name_is_too_hostile() {
    let server = serve();
    for name in ["write", "malloc", "getenv", "main", "type", "result", "list", "interface", "guest", "a-1"] {
        assert_eq!(call(&server, name, &json!({name: 7})).await, json!(7), "{name}");
    }
    let guest = json!({"type": 1, "list": "AAE=", "use": true, "result": {"err": "e"}, "from": "self-same", "self": 2});
    assert_eq!(call(&server, "hostile", &json!({"guest": guest})).await, guest);
    assert_eq!(server.post("/tasks/sdk/delete-all", r#"{"really": true}"#).await.status, 204);
}

#[tokio::test]
async fn errors_panics_and_what_the_gateway_offers_reach_the_caller() {
    let server = serve();
    assert_eq!(server.post("/tasks/sdk/nothing", "{}").await.status, 204);
    server.post("/tasks/sdk/delete-all", r#"{"really": false}"#).await.problem(422, "task-error");
    let panicked = server.post("/tasks/sdk/fails", r#"{"why": "me"}"#).await.problem(500, "trap");
    let detail = panicked["detail"].as_str().unwrap();
    assert!(detail.contains("because of me") && detail.contains("src/lib.rs"), "{detail}");
    let left = call(&server, "budget", &json!({})).await;
    assert!(left[0].as_u64().unwrap() <= 30 && left[1].as_u64().unwrap() <= 10, "{left}");
}

#[tokio::test]
async fn the_documentation_of_every_function_travels_along() {
    let described = serve().get("/tasks/sdk").await.json();
    assert_eq!(described["description"], "Every type that crosses, under the worst of names.");
    let functions = described["functions"].as_array().unwrap();
    assert!(functions.len() > 40, "{}", functions.len());
    for function in functions {
        assert!(function["description"].is_string(), "{function:#}");
    }
}
