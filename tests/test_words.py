from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard._checks import InputError
from steelyard.words import Word, rejoined, split
from steelyard.words import names as names_of

names = st.text("abcdefghij-_.:/ é", min_size=1).filter(lambda s: s.strip() == s)
scalars = st.one_of(
    st.integers(-1000, 1000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    names,
)
values = st.one_of(scalars, st.lists(scalars, max_size=3))
words = st.builds(Word, names, st.dictionaries(names, values, max_size=3))
nested = st.builds(Word, names, st.dictionaries(names, st.one_of(values, words), max_size=3))


@given(nested)
def test_text_of_a_word_reads_back_as_the_same_word(word: Word) -> None:
    def plain(value: Any) -> Any:  # a nested word without parameters and its bare name say the same
        if isinstance(value, Word):
            return (
                value.name
                if not value.params
                else (value.name, {k: plain(v) for k, v in value.params.items()})
            )
        return value

    again = Word.parse(str(word))
    assert plain(again) == plain(word)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("low(lam=1e-3)", {"lam": 0.001}),
        ("mlp(hidden=[64, 32])", {"hidden": [64, 32]}),
        ("counts('a b'=5, \"c,d\"=7)", {"a b": 5, "c,d": 7}),
        ("m(flag=true, other=False, none=null)", {"flag": True, "other": False, "none": None}),
        ("low()", {}),
        ("low(loss=focal(gamma=0.5))", {"loss": Word("focal", {"gamma": 0.5})}),
    ],
)
def test_reads_parameters(text: str, params: dict[str, Any]) -> None:
    assert Word.parse(text).params == params


@pytest.mark.parametrize(
    "text", ["", "low(", "low(lam)", "low(lam=)", "low)x", "low(lam=1) rest", "(a=1)", "a=1"]
)
def test_refuses_what_is_no_word(text: str) -> None:
    with pytest.raises(InputError, match=r"expected 'name' or 'name\(key=value, ...\)', got"):
        Word.parse(text)


def test_a_mapping_as_yaml_gives_it_is_a_word() -> None:
    word = Word.of({"name": "low", "lam": 0.1, "loss": {"name": "focal", "gamma": 1}})
    assert str(word) == "low(lam=0.1, loss=focal(gamma=1))"
    with pytest.raises(InputError, match="the key 'name', got the keys lam"):
        Word.of({"lam": 0.1})


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), ([1, "x"], r"\[1, x\]"), (True, "true")])
def test_what_is_neither_text_nor_mapping_is_no_word(value: Any, shown: str) -> None:
    with pytest.raises(InputError, match=f"expected a word such as focal or .*, got {shown}"):
        Word.of(value)


def test_a_parameter_may_stand_once() -> None:
    with pytest.raises(InputError, match="a parameter stands twice in 'focal\\(gamma=2, gamma=3\\)'"):
        Word.parse("focal(gamma=2, gamma=3)")


@given(st.lists(nested, min_size=1, max_size=4))
def test_split_keeps_words_whole(several: list[Word]) -> None:
    texts = [str(word) for word in several]
    assert split(", ".join(texts)) == texts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Bowen's disease,Paget's disease", ["Bowen's disease", "Paget's disease"]),
        ("'a, b', \"c, d\",e", ["a, b", "c, d", "e"]),
        ("the dogs' home, it's", ["the dogs' home", "it's"]),
        ("'t Hart, x", ["'t Hart", "x"]),
        ("f(x), [1, 2]", ["f(x)", "[1, 2]"]),
        ("", []),
    ],
)
def test_names_may_hold_apostrophes_and_commas_in_quotes(text: str, found: list[str]) -> None:
    assert names_of(text) == found


def test_the_longest_known_name_is_meant_and_others_stay() -> None:
    known = ["Nevus, benign", "benign", "a,b , c"]
    assert rejoined(["Nevus", "benign", "benign"], known) == ["Nevus, benign", "benign"]
    assert rejoined(["a", "b", "c", "d"], known) == ["a,b , c", "d"]
    assert rejoined(["Nevus"], known) == ["Nevus"]
