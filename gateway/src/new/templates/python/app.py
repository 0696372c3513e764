"""The task `{{name}}`: what it offers is written down in `wit/task.wit`.

Import at the top all that you use: the modules imported here are the ones that the component holds.
"""

from componentize_py_types import Err
from wit_world import exports


class Api(exports.Api):
    """The functions of the interface `api`."""

    def greet(self, name: str) -> str:
        name = name.strip()
        if not name:
            raise Err("found an empty name, expected somebody to greet")
        return f"Hello, {name}"
