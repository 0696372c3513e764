"""Sample task: Markdown to HTML and text statistics, in Python, with a library from PyPI.

What it offers is written down in `wit/markdown.wit`; componentize-py makes the module `wit_world` from it.
"""

import heapq  # noqa: F401, Counter.most_common imports it when it runs, when there is nothing left to import from
import re
from collections import Counter
from html import escape

import mistune
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.api import Figures, Frequency, Heading

WORDS_PER_MINUTE = 238
TOP_DEFAULT, TOP_MAX = 10, 100
PLUGINS = ["table", "footnotes", "task_lists", "strikethrough", "url"]

# A word may hold apostrophes and hyphens, but neither begins nor ends with one.
WORD = re.compile(r"\w+(?:['’-]\w+)*")
SENTENCE_END = re.compile(r"[.!?…。！？]+(?=[\s\"'”’)\]]|$)")

# Types of mistune's tokens that are a block of text of their own.
TEXT_BLOCKS = {"paragraph", "block_text", "heading", "table_cell"}

# Made when the component is built, not in each call: making them costs more than using them.
PARSE = mistune.create_markdown(renderer=None, plugins=PLUGINS)


class Renderer(mistune.HTMLRenderer):
    """Gives each heading the `id` that `outline` tells."""

    def __init__(self, ids):
        super().__init__(escape=True)
        self.ids = iter(ids)

    def heading(self, text, level, **attributes):
        return f'<h{level} id="{escape(next(self.ids, ""))}">{text}</h{level}>\n'


def plain(token):
    """The text of a token and all below it, without markup."""
    if token["type"] in ("softbreak", "linebreak"):
        return " "
    if token["type"] in ("block_code", "block_html", "inline_html"):
        return ""
    return token.get("raw", "") if "children" not in token else "".join(map(plain, token["children"]))


def walk(tokens):
    """All tokens, from first to last, each before those inside of it."""
    stack = list(reversed(tokens))
    while stack:
        token = stack.pop()
        yield token
        stack.extend(reversed(token.get("children", ())))


def headings(tokens):
    """The headings, each with an `id` that no other one has."""
    taken = set()
    found = []
    for token in walk(tokens):
        if token["type"] == "heading":
            text = plain(token).strip()
            base = "-".join(WORD.findall(text.lower())) or "section"
            name, number = base, 1
            while name in taken:
                number += 1
                name = f"{base}-{number}"
            taken.add(name)
            found.append(Heading(token["attrs"]["level"], text, name))
    return found


class Api(exports.Api):
    """The functions of the interface `api`."""

    def html(self, markdown):
        ids = [heading.id for heading in headings(PARSE(markdown))]
        return mistune.create_markdown(renderer=Renderer(ids), plugins=PLUGINS)(markdown)

    def outline(self, markdown):
        return headings(PARSE(markdown))

    def statistics(self, markdown, top):
        top = TOP_DEFAULT if top is None else top
        if top > TOP_MAX:
            raise Err(f"top: found {top}, expected at most {TOP_MAX}")
        blocks = [
            (plain(token).strip(), token["type"] == "heading")
            for token in walk(PARSE(markdown))
            if token["type"] in TEXT_BLOCKS
        ]
        blocks = [(text, heading) for text, heading in blocks if text]
        words = Counter(word.lower() for text, _ in blocks for word in WORD.findall(text))
        total = words.total()
        frequent = Counter({word: count for word, count in words.items() if len(word) >= 4})
        return Figures(
            characters=sum(len(text) for text, _ in blocks),
            words=total,
            unique_words=len(words),
            # A block that ends without a full stop ends a sentence all the same.
            sentences=sum(
                len(SENTENCE_END.findall(text)) + (not SENTENCE_END.search(text[-3:])) for text, _ in blocks
            ),
            blocks=len(blocks),
            reading_seconds=round(total * 60 / WORDS_PER_MINUTE),
            top=[Frequency(word, count) for word, count in frequent.most_common(top)],
        )
