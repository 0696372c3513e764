"""Checks beside schemathesis' own: a problem is never a fault of the gateway nor of a sample."""

import schemathesis

# Documented, since they can occur; here they would be bugs.
NEVER = {"internal", "trap", "stack-overflow", "bad-response", "missing-grant", "bad-module", "cancelled"}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    # A schema can only say that WAVE is text; generated texts would be no WAVE.
    for item in raw_schema["paths"].values():
        for operation in item.values():
            content = operation.get("requestBody", {}).get("content", {})
            content.pop("text/x-wave", None)
            # Of lists and JSON in a form schemathesis sends no empty ones, and texts without quotes.
            form = content.get("multipart/form-data", {})
            lists = [p for p in form.get("schema", {}).get("properties", {}).values() if p.get("type") == "array"]
            if lists or "application/json" in str(form.get("encoding")):
                content.pop("multipart/form-data")


@schemathesis.check
def no_fault_of_ours(ctx, response, case):
    content_type = (response.headers.get("content-type") or [""])[0]
    if response.status_code < 400:
        return
    if case.path == "/readyz":
        return
    assert content_type == "application/problem+json", f"{response.status_code} without a problem document"
    problem = response.json()
    kind = problem["type"].removeprefix("/problems/")
    assert kind not in NEVER, f"{kind}: {problem['detail']}"
    assert problem["status"] == response.status_code, problem
    assert problem["call"] == response.headers["x-request-id"][0], problem
