"""JSON values as WAVE, led by the types of a function's signature, so that one generator serves both formats.

What is no value of its type (a wrong request) is spelled so that no type takes it by accident: as it would be
without one, where a text stays in quotes, and as no WAVE at all where a type takes others' values.
"""

import base64
import json
import re

TOKENS = re.compile(r"->|[%\w-]+|[<>{}(),:]")
LABEL = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")
WORDS = {"true", "false", "nan", "inf", "some", "none", "ok", "err"}
ESCAPES = {'"': '\\"', "'": "\\'", "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Unfit(Exception):
    """The value is none of its type."""


def parameters(signature):
    """The parameters of a signature as the gateway shows it, `func(a: u32, b: option<string>)`: name to type."""
    reader = Reader(TOKENS.findall(signature))
    reader.take("func")
    return dict(reader.fields("(", ")"))


class Reader:
    def __init__(self, tokens):
        self.tokens = tokens

    def take(self, expected=None):
        token = self.tokens.pop(0)
        assert expected in (None, token), f"found {token}, expected {expected}"
        return token

    def several(self, opening, closing, read):
        found = []
        self.take(opening)
        while self.tokens[0] != closing:
            found.append(read())
            if self.tokens[0] == ",":
                self.take()
        self.take(closing)
        return found

    def fields(self, opening, closing):
        return self.several(opening, closing, lambda: (self.take(), self.take(":") and self.type()))

    def case(self):
        name = self.take()
        return name, self.several("(", ")", self.type)[0] if self.tokens[0] == "(" else None

    def type(self):
        name = self.take()
        if name == "record":
            return name, self.fields("{", "}")
        if name == "variant":
            return name, dict(self.several("{", "}", self.case))
        if name in ("enum", "flags"):
            return name, self.several("{", "}", self.take)
        return name, self.several("<", ">", self.type) if self.tokens[:1] == ["<"] else []


def arguments(types, value):
    """A document of arguments: an object by name, an array by position."""
    if isinstance(value, dict):
        return braces((name, any_of(types.get(name), item)) for name, item in value.items())
    if isinstance(value, list):
        kinds = list(types.values()) + [None] * len(value)
        return "(" + ", ".join(any_of(kind, item) for kind, item in zip(kinds, value)) + ")"
    return plain(value)


def any_of(kind, value):
    """The value as its type has it, or as it is."""
    try:
        return plain(value) if kind is None else typed(kind, value)
    except Unfit:
        # WAVE lets `some` and `ok` go without saying.
        bare = kind[0] in ("option", "result")
        return json.dumps({"unfit": value}) if bare else plain(value)


def typed(kind, value):
    name, of = kind
    if name in SCALARS:
        return SCALARS[name](value)
    if name in COMPOUND:
        return COMPOUND[name](of, value)
    raise AssertionError(f"no WAVE for {name}")


def expect(holds):
    if not holds:
        raise Unfit


def integer(value):
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9][0-9]{0,19})", value):
        value = int(value)
    expect(isinstance(value, int) and not isinstance(value, bool))
    return str(value)


def small(value):
    # Only 64 bits come as a text as well.
    expect(not isinstance(value, str))
    return integer(value)


def floating(value):
    words = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}
    if isinstance(value, str) and value in words:
        return words[value]
    expect(isinstance(value, (int, float)) and not isinstance(value, bool))
    return plain(value)


def boolean(value):
    expect(isinstance(value, bool))
    return plain(value)


def text(value):
    expect(isinstance(value, str))
    return quoted(value, '"')


def character(value):
    expect(isinstance(value, str) and len(value) == 1)
    return quoted(value, "'")


def record(of, value):
    expect(isinstance(value, dict))
    kinds = dict(of)
    return braces((name, any_of(kinds.get(name), item)) for name, item in value.items())


def sequence(of, value):
    if of[0][0] == "u8" and isinstance(value, str):
        try:
            value = list(base64.b64decode(value, validate=True))
        except ValueError:
            raise Unfit from None
    expect(isinstance(value, list))
    return "[" + ", ".join(any_of(of[0], item) for item in value) + "]"


def fixed(of, value):
    expect(isinstance(value, list))
    kinds = of + [None] * len(value)
    return "(" + ", ".join(any_of(kind, item) for kind, item in zip(kinds, value)) + ")"


def option(of, value):
    if value is None:
        return "none"
    if of[0][0] == "option":
        expect(isinstance(value, dict) and list(value) == ["some"])
        value = value["some"]
    return f"some({any_of(of[0], value)})"


def outcome(of, value):
    expect(isinstance(value, dict) and len(value) == 1)
    [(name, inner)] = value.items()
    expect(name in ("ok", "err"))
    kinds = dict(zip(("ok", "err"), of))
    kind = kinds.get(name, ("_", []))
    if kind[0] == "_":
        expect(inner is None)
        return name
    return f"{name}({any_of(kind, inner)})"


def variant(of, value):
    name = value.get("tag") if isinstance(value, dict) else value
    expect(isinstance(name, str) and name in of)
    if isinstance(value, str) or "val" not in value:
        expect(of[name] is None and (isinstance(value, str) or set(value) == {"tag"}))
        return label(name)
    expect(of[name] is not None and set(value) == {"tag", "val"})
    return f"{label(name)}({any_of(of[name], value['val'])})"


def case(of, value):
    expect(isinstance(value, str) and value in of)
    return label(value)


def flags(of, value):
    expect(isinstance(value, list) and all(isinstance(item, str) and item in of for item in value))
    return "{" + ", ".join(map(label, value)) + "}"


SCALARS = {
    "bool": boolean, "string": text, "char": character, "u64": integer, "s64": integer,
    "f32": floating, "f64": floating, **{f"{sign}{bits}": small for sign in "us" for bits in (8, 16, 32)},
}  # fmt: skip
COMPOUND = {
    "record": record, "list": sequence, "tuple": fixed, "option": option, "result": outcome,
    "variant": variant, "enum": case, "flags": flags,
}  # fmt: skip


def label(name):
    return f"%{name}" if name in WORDS else name


def braces(pairs):
    fields = [f"{name if LABEL.match(name) else json.dumps(name)}: {item}" for name, item in pairs]
    # `{}` would be flags, none of them set.
    return "{" + (", ".join(fields) or ":") + "}"


def quoted(value, mark):
    other = {"'": '"', '"': "'"}[mark]
    pieces = (
        char if char == other else ESCAPES.get(char) or (char if char.isprintable() else f"\\u{{{ord(char):x}}}")
        for char in value
    )
    return mark + "".join(pieces) + mark


def plain(value):
    if isinstance(value, str):
        return quoted(value, '"')
    if isinstance(value, dict):
        return braces((name, plain(item)) for name, item in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(map(plain, value)) + "]"
    return json.dumps(value)
