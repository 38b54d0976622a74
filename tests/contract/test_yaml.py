"""Write data as YAML: no text may be read as another value."""

import pytest

from service.http.contract.yaml import to_yaml


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain text, with (signs)", "plain text, with (signs)"),
        ("#/components/schemas/Model", '"#/components/schemas/Model"'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("- a", '"- a"'),
        ("Yes", '"Yes"'),
        ("null", '"null"'),
        ("2026-11-30", '"2026-11-30"'),
        ("1e3", '"1e3"'),
        ("", '""'),
        ("a\n", '"a\\n"'),
        ("\u2019n\u00f6", '"\u2019n\u00f6"'),
        (True, "true"),
        (None, "null"),
        (2**40, "1099511627776"),
        (0.5, "0.5"),
        ([], "[]"),
        ({}, "{}"),
    ],
    ids=repr,
)
def test_a_value_has_one_meaning(value: object, written: str) -> None:
    assert to_yaml({"a": value}) == f"a: {written}\n"


def test_parts_are_indented_and_lines_kept() -> None:
    data = {"n": [{"a": 1, "b": ["x", {"c": "one\n\ntwo"}]}, [True]], "404": "none"}

    assert to_yaml(data) == (
        '"n":\n'
        "  - a: 1\n"
        "    b:\n"
        "      - x\n"
        "      - c: |-\n"
        "          one\n"
        "\n"
        "          two\n"
        "  - - true\n"
        '"404": none\n'
    )
