"""What the API test adds to schemathesis: bodies it cannot make itself, and checks of its own.

A problem is never a fault of the gateway nor of a sample; a test guest may be at fault, when it was asked to be.
"""

import json
import pathlib
import re
import sys

import schemathesis
from schemathesis.transport.requests import REQUESTS_TRANSPORT, multipart_serializer

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import as_wave

# Documented, since they can occur; here they would be bugs.
NEVER = {"internal", "stack-overflow", "missing-grant", "bad-module", "cancelled"}
# What the test guests do on purpose.
FAULTS = {"trap", "bad-response"}

# What the test guests can be asked to do, without what breaks a body off: to schemathesis that is a failure.
HTTP = (
    "hello tell echo pump source sink trailers linger empty fetch stdio silent error trap-before exit status header "
    "loop-before ignore hungry"
)
COMMAND = (
    "cat upper count args env exit panic empty binary source stderr ignore taste line sleep loop hungry read list"
)
GUESTS = {
    "http-p2": HTTP, "http-p3": HTTP, "command": COMMAND, "command-p3": COMMAND, "command-preview1": COMMAND,
    "cgi": COMMAND,
}  # fmt: skip

# What of it ends at a budget.
SLOW = {"silent", "loop-before", "loop", "hungry", "sleep"}

# The WAVE texts that the document has as examples.
EXAMPLES = set()


@schemathesis.hook
def before_load_schema(context, raw_schema):
    for path, item in raw_schema["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "text/x-wave" in content:
                # A schema can only say that WAVE is text: what is generated is JSON, and `wave` spells it.
                EXAMPLES.add(content["text/x-wave"]["example"])
                content["text/x-wave"]["schema"] = content["application/json"]["schema"]
            if content.pop("*/*", None) is not None:
                # Of media types that it may choose, schemathesis takes those that it knows.
                content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
            # With it the answer is not the result that the document describes.
            refs = operation.get("parameters", [])
            operation["parameters"] = [ref for ref in refs if not ref.get("$ref", "").endswith("/Unblock-Profile")]
            behave(operation, once_each=path.startswith("/tasks/") and method in ("get", "post"))


def behave(operation, once_each):
    """Has a test guest asked for its behaviours, beside any paths."""
    for names in (GUESTS[tag].split() for tag in operation.get("tags", []) if tag in GUESTS):
        for parameter in operation.get("parameters", []):
            if parameter.get("in") == "path":
                parameter["schema"] = {"anyOf": [{"enum": names}, parameter["schema"]]}
                if once_each:
                    # The time of an operation is up after the first slow one.
                    quick = [name for name in names if name not in SLOW]
                    parameter["examples"] = {name: {"value": name} for name in quick}


@schemathesis.serializer("text/x-wave")
def wave(context, value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and value in EXAMPLES:
        return value.encode()
    signature = re.search(r"`[^`]*: (func\(.*)`$", context.case.operation.definition.raw["description"])
    return as_wave.arguments(as_wave.parameters(signature.group(1)), value).encode()


@REQUESTS_TRANSPORT.serializer("multipart/form-data")
def multipart(context, value):
    if isinstance(value, dict):
        body = context.case.operation.get_body_for_media_type("multipart/form-data")
        of_json = [
            name
            for name, encoding in body.definition.get("encoding", {}).items()
            if encoding["contentType"] == "application/json" and name in value
        ]
        # A text that is a JSON document has quotes; schemathesis sends it without.
        value = value | {name: json.dumps(value[name]).encode() for name in of_json}
    return multipart_serializer(context, value)


@schemathesis.hook
def filter_case(context, case):
    """Drops wrong requests that are right ones on the wire, or that are taken although the document leaves them out."""
    form = case.media_type == "multipart/form-data" and isinstance(case.body, dict)
    return not (empty_flag(case) or (form and other_form(case)))


def empty_flag(case):
    """In a query, an empty text is no flag."""
    parameters = case.operation.definition.raw.get("parameters", [])
    flags = {one.get("name") for one in parameters if one.get("schema", {}).get("uniqueItems")}
    query = case.query or {}
    return any(isinstance(query.get(name), (str, list)) and "" in query[name] for name in flags)


def other_form(case):
    """In a form everything is a text, an empty one is what may be null, what is there once is a list of one, and an
    empty list is not there."""
    form = case.operation.get_body_for_media_type(case.media_type).definition
    if list(form["schema"]["properties"]) == ["file"] and len(case.body) == 1:
        # The only part is the body, whatever its name.
        return "file" not in case.body
    for name, schema in form["schema"]["properties"].items():
        of_json = form.get("encoding", {}).get(name, {}).get("contentType") == "application/json"
        if case.body.get(name) == "" and {"type": "null"} in schema.get("anyOf", []):
            return True
        if schema.get("type") == "array" and not of_json and name in case.body:
            value = case.body[name]
            if not isinstance(value, list) or not value or not all(isinstance(item, (str, bytes)) for item in value):
                return True
    return False


@schemathesis.hook
def before_add_examples(context, examples):
    """Drops a `null` in a path, which schemathesis makes a text before it writes it as JSON."""
    examples[:] = [case for case in examples if '"null"' not in (case.path_parameters or {}).values()]


@schemathesis.check
def no_fault_of_ours(ctx, response, case):
    content_type = (response.headers.get("content-type") or [""])[0]
    if response.status_code < 400 or case.path == "/readyz":
        return
    guests = GUESTS.keys() & set(case.operation.definition.raw.get("tags", []))
    if content_type != "application/problem+json" and guests and "unblock-task" in response.headers:
        # Its own answer.
        return
    assert content_type == "application/problem+json", f"{response.status_code} without a problem document"
    problem = response.json()
    kind = problem["type"].removeprefix("/problems/")
    assert kind not in (NEVER if guests else NEVER | FAULTS), f"{kind}: {problem['detail']}"
    assert problem["status"] == response.status_code, problem
    assert problem["call"] == response.headers["x-request-id"][0], problem
