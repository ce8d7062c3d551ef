"""Words with parameters, as people type them: ``low(lam=0.1, loss=focal(gamma=2))``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steelyard._checks import InputError

_TOKEN = re.compile(r"""\s*(?:(?P<mark>[(),=\[\]])|(?P<quoted>"[^"]*"|'[^']*')|(?P<bare>[^\s(),=\[\]"']+))""")


@dataclass(frozen=True, slots=True)
class Word:
    """A name and its parameters; a parameter may be a number, text, a truth value, a list or another word.

    >>> Word.parse("low(lam=0.1, loss=focal)")
    Word(name='low', params={'lam': 0.1, 'loss': 'focal'})
    >>> str(Word("counts", {"cat": 50, "sizes": [1, 2]}))
    'counts(cat=50, sizes=[1, 2])'
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Word:
        """Read one word; the opposite of ``str``.

        Raises:
            InputError: if the text is not of the form ``name`` or ``name(key=value, ...)``.
        """
        reader = _Reader(text)
        word = reader.value()
        if reader.rest or not isinstance(word, Word | str) or word == "":
            raise reader.error()
        return word if isinstance(word, Word) else cls(word)

    @classmethod
    def of(cls, value: Word | str | Mapping[str, Any]) -> Word:
        """A word from itself, its text, or a mapping ``{"name": ..., parameters...}`` as YAML gives it.

        >>> Word.of({"name": "low", "lam": 0.1})
        Word(name='low', params={'lam': 0.1})
        """
        if isinstance(value, Word):
            return value
        if isinstance(value, str):
            return cls.parse(value)
        if not isinstance(value, Mapping):
            raise InputError(f"expected a word such as focal or focal(gamma=2), got {text_of(value)}.")
        if "name" not in value:
            raise InputError(
                f"expected an entry with the key 'name', got the keys {', '.join(map(str, value))}."
            )
        params = {str(k): cls.of(v) if isinstance(v, dict) else v for k, v in value.items() if k != "name"}
        return cls(str(value["name"]), params)

    def __str__(self) -> str:
        if not self.params:
            return text_of(self.name)
        return (
            f"{text_of(self.name)}({', '.join(f'{text_of(k)}={text_of(v)}' for k, v in self.params.items())})"
        )


def split(text: str) -> list[str]:
    """Split a comma-separated list of words; commas inside brackets and quotes belong to a word.

    A quote opens where a value may begin; elsewhere it is an apostrophe.

    >>> split("ce, low(lam=0.1, loss=focal), ldam")
    ['ce', 'low(lam=0.1, loss=focal)', 'ldam']
    """
    parts, depth = [""], 0
    for piece in re.findall(r"""(?:^|(?<=[\s,(=\[]))(?:"[^"]*"|'[^']*')|.""", text, re.DOTALL):
        depth += (piece in "([") - (piece in ")]")
        if piece == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    return [part.strip() for part in parts if part.strip()]


def names(text: str) -> list[str]:
    """Split a comma-separated list of names, and take the quotes off that are around one.

    >>> names("Bowen's disease, 'Nevus, benign'")
    ["Bowen's disease", 'Nevus, benign']
    """
    return [
        part[1:-1] if len(part) > 1 and part[0] == part[-1] and part[0] in "\"'" else part
        for part in split(text)
    ]


def rejoined(parts: Sequence[str], known: Sequence[str]) -> list[str]:
    """Names that were torn apart at their commas, put together where that makes a ``known`` one.

    >>> rejoined(["Nevus", "benign", "other"], ["Nevus, benign", "other"])
    ['Nevus, benign', 'other']
    """
    called = {re.sub(r"\s*,\s*", ",", name): name for name in known}
    whole: list[str] = []
    while len(parts):
        ends = range(len(parts), 0, -1)
        end = next((end for end in ends if ",".join(parts[:end]) in called), 1)
        whole.append(called.get(",".join(parts[:end]), parts[0]))
        parts = parts[end:]
    return whole


def text_of(value: Any) -> str:
    """A parameter's value as a word holds it.

    >>> text_of([1, None, "class a"])
    '[1, null, "class a"]'
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text_of, value))}]"
    if isinstance(value, str):
        plain = re.fullmatch(r"""[^\s(),=\[\]"']+""", value) and isinstance(_plain(value), str)
        quote = "'" if '"' in value else '"'
        return value if plain else f"{quote}{value}{quote}"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _plain(text: str) -> Any:
    """The number or truth value that a bare text stands for, else the text."""
    constants = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in constants:
        return constants[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class _Reader:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.rest = text.strip()

    def error(self) -> InputError:
        return InputError(f"expected 'name' or 'name(key=value, ...)', got {self.text!r}.")

    def peek(self) -> str:
        match = _TOKEN.match(self.rest)
        return match.group().strip() if match else ""

    def take(self, wanted: str = "") -> str:
        match = _TOKEN.match(self.rest)
        if match is None or (wanted and match.group().strip() != wanted):
            raise self.error()
        self.rest = self.rest[match.end() :]
        return match.group().strip()

    def value(self) -> Any:
        token = self.take()
        if token == "[":
            return self.items("]", self.value)
        if token[0] in "(),=]":
            raise self.error()
        quoted = token[0] in "\"'"
        name = token[1:-1] if quoted else token
        if self.peek() == "(":
            self.take("(")
            return Word(name, self.params(self.items(")", self.pair)))
        return name if quoted else _plain(name)

    def pair(self) -> tuple[str, Any]:
        key = self.take()
        if key[0] in "(),=[]":
            raise self.error()
        self.take("=")
        return key.strip("\"'"), self.value()

    def params(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise InputError(f"a parameter stands twice in {self.text!r}; leave one out.")
        return found

    def items(self, end: str, read: Any) -> list[Any]:
        found: list[Any] = []
        while self.peek() != end:
            found.append(read())
            if self.peek() != end:
                self.take(",")
        self.take(end)
        return found
