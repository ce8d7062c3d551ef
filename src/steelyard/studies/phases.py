"""Methods in phases, and what every comparison sets beside them: their first phase, and more of the same."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from steelyard import catalog
from steelyard.words import Word

if TYPE_CHECKING:
    from steelyard.studies.config import Study


def base_and_control(method: Word) -> tuple[Word, ...]:
    """The first phase of ``method`` alone, and the same trained on for as long; none for most methods.

    >>> [str(one) for one in base_and_control(Word.parse("alm(delta=2, lr=0.01)"))]
    ['bce(lr=0.01)', 'trained-on(loss=bce, lr=0.01)']
    """
    own = catalog.base_of(method), catalog.control_of(method)
    return tuple(one for one in own if one is not None)


def on_two_classes(method: Word) -> Word:
    """``method`` with ``ce`` for ``bce``: on two classes both are the same training, but for rounding.

    >>> str(on_two_classes(Word.parse("trained-on(loss=bce, lr=0.01)"))), str(on_two_classes(Word("focal")))
    ('trained-on(loss=ce, lr=0.01)', 'focal')
    """
    if method.name == "bce":
        return Word(catalog.BASELINE, method.params)
    if method.name in catalog.CONTROLS and catalog.phases(method)[0].name == "bce":
        return Word(method.name, {**method.params, "loss": catalog.BASELINE})
    return method


def each_training_once(asked: Study) -> Study:
    """``asked`` on data of two classes: with one row for methods that are the same training there."""
    named = {str(method): str(on_two_classes(method)) for method in asked.methods}
    shown = [f"{method} is shown as {other}" for method, other in named.items() if method != other]
    if not shown:
        return asked
    warnings.warn(f"with two classes bce is the same training as ce: {', '.join(shown)}", stacklevel=2)
    methods: list[Word] = []
    for method in map(on_two_classes, asked.methods):
        if method not in methods:
            methods.append(method)
    return asked.model_copy(update={"methods": tuple(methods)})


def with_controls(asked: Study, *, two_classes: bool = False) -> Study:
    """``asked`` with base and control before each method in phases, where it does not hold them.

    Without them nobody could tell what the further phase gains from what longer training gains.
    """
    methods: list[Word] = []
    added = dict(asked.added)
    for method in asked.methods:
        whys = f"first phase of {method}", f"control of {method}: its first phase for as many epochs"
        for plain, why in zip(base_and_control(method), whys, strict=False):  # most methods have neither
            own = on_two_classes(plain) if two_classes else plain
            if not any(_same(own, other) for other in (*methods, *asked.methods)):
                methods.append(own)
                added[str(own)] = why
        methods.append(method)
    return asked.model_copy(update={"methods": tuple(methods), "added": added})


def phases_of(asked: Study, *, two_classes: bool = False) -> dict[str, dict[str, str]]:
    """The base and the control of each method in phases that has both in the study."""
    found = {}
    for method in asked.methods:
        names = [
            str(other)
            for own in base_and_control(method)
            for other in _there(own, asked, two_classes)
            if other != method
        ]
        if len(names) == 2:
            found[str(method)] = dict(zip(("base", "control"), names, strict=True))
    return found


def _there(own: Word, asked: Study, two_classes: bool) -> list[Word]:
    """The method of ``asked`` that is the training of ``own``, to the last bit if there is one."""
    forms = (own, on_two_classes(own)) if two_classes else (own,)
    return [method for form in forms for method in asked.methods if _same(method, form)][:1]


def _same(one: Word, other: Word) -> bool:
    """Whether two words stand for the same training, written differently or not."""
    return catalog.phases(one) == catalog.phases(other)
