"""The small part of Home Assistant's value templates that a meter needs: where the number stands, and its scale.

Source: Home Assistant's MQTT pages (value_template), Jinja's order of operators. Understood is one expression in {{ }} with
one value in it: `value`, or a path such as `value_json.a['b'][0]`, then the filters float, int, round, default and
is_defined, and + - * / with constants, in brackets too. A filter's default is left out: what is missing is missing, not 0.
So is the other branch of a condition that only asks whether the value is there, as in
`{% if 'a' in value_json %}{{ … }}{% endif %}` or `{{ … if value_json.a is defined else 0 }}`. Everything else (other
statements and tests, functions, two values, powers, text) is not understood. Nothing is ever executed: a template becomes a
path and a list of steps.
"""

import math
import re
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from fleet.codecs.decoded import TOO_LARGE, numeric
from fleet.errors import BadInput
from fleet.limits import TEMPLATE_CHARS_MAX, TEMPLATE_DEPTH_MAX

Step = tuple[Literal["scale", "add", "round", "floor_int"], float]
Path = tuple[str | int, ...]


class Template(NamedTuple):
    """path: into the JSON of the payload; None: the payload itself is the number."""

    path: Path | None
    steps: tuple[Step, ...]

    def number(self, payload: object) -> float | None:
        """payload: text, or decoded JSON where there is a path. None: missing, or no number."""
        found = payload
        for key in self.path or ():
            if isinstance(found, dict) and isinstance(key, str):
                found = found.get(key)
            elif isinstance(found, list) and isinstance(key, int) and 0 <= key < len(found):
                found = found[key]
            else:
                return None
        value = numeric(found.strip() if isinstance(found, str) else found)
        if value is None:
            return None
        for kind, by in self.steps:
            value = _stepped(value, kind, by)
        return value if -TOO_LARGE < value < TOO_LARGE else None


PLAIN: Final = Template(None, ())


@lru_cache(maxsize=2_048)
def template(text: str) -> Template:
    """Raises BadInput (template_unsupported)."""
    stripped = text.strip()
    if not stripped:
        return PLAIN
    if len(text) > TEMPLATE_CHARS_MAX:
        raise _unsupported(text)
    statement = _STATEMENT.fullmatch(stripped)
    inside = _EXPRESSION.fullmatch(statement["then"] if statement is not None else stripped)
    if inside is None:
        raise _unsupported(text)
    choice = _CHOICE.fullmatch(inside["expression"]) if statement is None else None
    condition = statement or choice
    found = _Parser(text, choice["then"] if choice is not None else inside["expression"]).whole()
    if isinstance(found, float):
        raise _unsupported(text)  # a constant measures nothing
    if condition is not None and not _asks_whether_there(condition["condition"], found, text):
        raise _unsupported(text)
    return found


_EXPRESSION: Final = re.compile(r"\{\{-?(?P<expression>[^{}]*?)-?\}\}")
_STATEMENT: Final = re.compile(
    r"\{%-?\s*if\s(?P<condition>[^{}%]+?)-?%\}\s*(?P<then>\{\{[^{}]*\}\})\s*(?:\{%-?\s*else\s*-?%\}[^%]*)?\{%-?\s*endif\s*-?%\}"
)
_CHOICE: Final = re.compile(r"(?P<then>.*?)\sif\s(?P<condition>.*?)(?:\selse\s.*)?")
_CONTAINED: Final = re.compile(r"(?P<key>'[^'\\]*'|\"[^\"\\]*\")\s+in\s+(?P<path>value_json\S*)")
_DEFINED: Final = re.compile(r"(?P<path>value_json\S*)\s+is\s+(?:defined|not\s+none)", re.IGNORECASE)


def _asks_whether_there(condition: str, found: Template, text: str) -> bool:
    """Of the value itself, or of what it stands in."""
    asked = condition.strip()
    contained, defined = _CONTAINED.fullmatch(asked), _DEFINED.fullmatch(asked)
    which = contained or defined
    if which is None:
        return False
    place = _Parser(text, which["path"]).whole()
    if isinstance(place, float) or place.path is None or place.steps or found.path is None:
        return False
    path = place.path if contained is None else (*place.path, contained["key"][1:-1])
    return found.path[: len(path)] == path


def _unsupported(text: str) -> BadInput:
    return BadInput("template_unsupported", f"this template is not understood, so its value is left out: {text[:160]}")


def _stepped(value: float, kind: str, by: float) -> float:
    if kind == "scale":
        return value * by
    if kind == "add":
        return value + by
    if not math.isfinite(value):
        return value
    return round(value, int(by)) if kind == "round" else float(int(value))


_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<text>'[^'\\]*'|\"[^\"\\]*\")"
    r"|(?P<sign>[-+*/()\[\].,|=]))"
)
_IGNORED: Final = frozenset(("default", "d", "is_defined"))
_DIGITS: Final = frozenset(range(9))
_Node = Template | float


class _Parser:
    """Of one expression. Its nodes are templates, and floats where no value is in them."""

    def __init__(self, text: str, expression: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        self._next = 0
        self._depth = 0
        position, expression = 0, expression.rstrip()
        while position < len(expression):
            found = _TOKEN.match(expression, position)
            if found is None:
                raise _unsupported(text)
            self._tokens.append((found.lastgroup or "", found[found.lastgroup or 0]))
            position = found.end()

    def whole(self) -> _Node:
        node = self._sum()
        if self._next < len(self._tokens):
            raise _unsupported(self._text)
        return node

    def _sum(self) -> _Node:
        self._depth += 1
        if self._depth > TEMPLATE_DEPTH_MAX:
            raise _unsupported(self._text)
        node = self._product()
        while (sign := self._taken("+", "-")) is not None:
            node = self._added(node, self._product(), sign)
        self._depth -= 1
        return node

    def _product(self) -> _Node:
        node = self._signed()
        while (sign := self._taken("*", "/")) is not None:
            node = self._multiplied(node, self._signed(), sign)
        return node

    def _signed(self) -> _Node:
        negative = False
        while (sign := self._taken("-", "+")) is not None:
            negative ^= sign == "-"
        node = self._filtered()
        return self._with(node, "scale", -1.0) if negative else node

    def _filtered(self) -> _Node:
        node = self._primary()
        while self._taken("|") is not None:
            name = self._expect("name")
            arguments = self._arguments() if self._taken("(") is not None else []
            node = self._filter(node, name, arguments)
        return node

    def _filter(self, node: _Node, name: str, arguments: list[float | None]) -> _Node:
        if name == "float" or name in _IGNORED:
            return node
        if name == "int":
            return self._with(node, "floor_int", 0.0)
        if name == "round" and (not arguments or (len(arguments) == 1 and arguments[0] in _DIGITS)):
            return self._with(node, "round", (arguments or [0.0])[0] or 0.0)
        raise _unsupported(self._text)

    def _primary(self) -> _Node:
        kind, said = self._advance()
        if kind == "number":
            return float(said)
        if said == "(":
            node = self._sum()
            self._demand(")")
            return node
        if kind == "name" and said in {"float", "int"} and self._taken("(") is not None:
            node = self._sum()
            if self._taken(",") is not None:
                self._arguments()
            else:
                self._demand(")")
            return self._filter(node, said, [])
        if said == "value":
            return PLAIN
        if said == "value_json":
            return Template(self._path(), ())
        raise _unsupported(self._text)

    def _path(self) -> Path:
        path: list[str | int] = []
        while (sign := self._taken(".", "[")) is not None:
            if sign == ".":
                path.append(self._expect("name"))
                continue
            kind, said = self._advance()
            if kind not in {"text", "number"} or (kind == "number" and "." in said):
                raise _unsupported(self._text)
            path.append(said[1:-1] if kind == "text" else int(said))
            self._demand("]")
        return tuple(path)

    def _arguments(self) -> list[float | None]:
        """After the opening bracket, up to the closing one. None: no number. A named default is left out."""
        found: list[float | None] = []
        while self._taken(")") is None:
            negative = self._taken("-") is not None
            kind, said = self._advance()
            if kind not in {"number", "text", "name"}:
                raise _unsupported(self._text)
            if said == "default" and self._taken("=") is not None:
                self._taken("-")
                self._advance()
            else:
                found.append(float(said) * (-1 if negative else 1) if kind == "number" else None)
            if self._taken(",") is None:
                self._demand(")")
                break
        return found

    def _added(self, left: _Node, right: _Node, sign: str) -> _Node:
        if sign == "-":
            right = self._with(right, "scale", -1.0)
        if isinstance(right, float):
            return self._with(left, "add", right)
        if isinstance(left, float):
            return self._with(right, "add", left)
        raise _unsupported(self._text)

    def _multiplied(self, left: _Node, right: _Node, sign: str) -> _Node:
        if isinstance(left, float) and sign == "*":
            left, right = right, left
        if not isinstance(right, float) or (sign == "/" and right == 0):
            raise _unsupported(self._text)
        return self._with(left, "scale", 1.0 / right if sign == "/" else right)

    def _with(self, node: _Node, kind: Literal["scale", "add", "round", "floor_int"], by: float) -> _Node:
        if isinstance(node, float):
            return _stepped(node, kind, by)
        return node._replace(steps=(*node.steps, (kind, by)))

    def _advance(self) -> tuple[str, str]:
        if self._next >= len(self._tokens):
            raise _unsupported(self._text)
        self._next += 1
        return self._tokens[self._next - 1]

    def _taken(self, *signs: str) -> str | None:
        if self._next < len(self._tokens) and self._tokens[self._next] in [("sign", sign) for sign in signs]:
            self._next += 1
            return self._tokens[self._next - 1][1]
        return None

    def _demand(self, sign: str) -> None:
        if self._taken(sign) is None:
            raise _unsupported(self._text)

    def _expect(self, kind: str) -> str:
        found, said = self._advance()
        if found != kind:
            raise _unsupported(self._text)
        return said
