"""Methods in phases, and what every comparison sets beside them: their first phase, and more of the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard import catalog

if TYPE_CHECKING:
    from steelyard.studies.config import Study
    from steelyard.words import Word


def base_and_control(method: Word) -> tuple[Word, ...]:
    """The first phase of ``method`` alone, and the same trained on for as long; none for most methods.

    >>> from steelyard.words import Word
    >>> [str(one) for one in base_and_control(Word.parse("alm(delta=2, lr=0.01)"))]
    ['bce(lr=0.01)', 'trained-on(loss=bce, lr=0.01)']
    """
    own = catalog.base_of(method), catalog.control_of(method)
    return tuple(one for one in own if one is not None)


def with_controls(asked: Study) -> Study:
    """``asked`` with base and control before each method in phases, where it does not hold them.

    Without them nobody could tell what the further phase gains from what longer training gains.
    """
    methods: list[Word] = []
    for method in asked.methods:
        for own in base_and_control(method):
            if not any(_same(own, other) for other in (*methods, *asked.methods)):
                methods.append(own)
        methods.append(method)
    return asked.model_copy(update={"methods": tuple(methods)})


def phases_of(asked: Study) -> dict[str, dict[str, str]]:
    """The base and the control of each method in phases that has both in the study."""
    found = {}
    for method in asked.methods:
        names = [
            str(other)
            for own in base_and_control(method)
            for other in asked.methods
            if _same(other, own) and other != method
        ]
        if len(names) == 2:
            found[str(method)] = dict(zip(("base", "control"), names, strict=True))
    return found


def _same(one: Word, other: Word) -> bool:
    """Whether two words stand for the same training, written differently or not."""
    return catalog.phases(one) == catalog.phases(other)
