"""Check all documents: links, paths, configuration files, translation."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.settings.environment import load_settings
from service.wiring.checks import check_settings
from tests.documents import PAGES, READMES, anchors_in, code_blocks, links_in, read, rows_behind, sections
from tests.processes import REPOSITORY

EVERY_DOCUMENT = sorted(
    str(path.relative_to(REPOSITORY)) for path in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"))
)
CONFIGURATION_FILES = [
    pytest.param(toml, id=f"{page}-{number}")
    for page in PAGES
    for number, (_, toml) in enumerate(code_blocks(read(page), "toml"), 1)
]
TRANSLATED = {"一只白色暹罗猫": "a white siamese cat", "一顶红色的帽子": "a red hat"}
"""The prompts of the Chinese README."""


@pytest.mark.parametrize("document", EVERY_DOCUMENT)
def test_links_of_a_document_have_targets(document: str) -> None:
    links = links_in(read(document))

    assert [link for link in links if not leads_somewhere(link, REPOSITORY / document)] == []


def test_both_readmes_have_the_same_sections_code_and_links() -> None:
    english, chinese = [outline_of(in_english(read(readme))) for readme in READMES]

    assert chinese == english
    assert len(english) > 6


@pytest.mark.parametrize("toml", CONFIGURATION_FILES)
def test_a_configuration_file_in_a_document_is_valid(toml: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(toml, "utf-8")
    for name in re.findall(r'key_file = "([\w/-][^"]*)"', toml):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("sk-...\n", "utf-8")

    settings = load_settings({"GATEWAY_CONFIG": str(file)})

    check_settings(settings)


def test_documents_show_configuration_files() -> None:
    assert CONFIGURATION_FILES


@pytest.mark.parametrize("path", [*PAGES, "openapi/openapi.yaml", "Makefile"])
def test_no_document_has_a_path_of_its_author(path: str) -> None:
    assert not re.search(r"/(home|root|work|Users|tmp)/\w", read(path))


def test_every_promise_of_the_security_page_names_its_tests() -> None:
    promises, _, rest = read("docs/SECURITY.md").partition("\n## What is not promised\n")
    tables = [rows_behind("\n", part) for part in promises.split("\n### ")[1:]]

    assert all(tables)
    assert rest
    for promise, tests in itertools.chain(*tables):
        assert links_in(tests), promise
        assert all(link.startswith("../tests/") for link in links_in(tests)), promise


@dataclass(frozen=True)
class Outline:
    """The parts of a section that a translation keeps."""

    level: str
    code: list[tuple[str, str]]
    links: set[str]
    items: int


def outline_of(readme: str) -> list[Outline]:
    return [
        Outline(
            level=section.partition(" ")[0],
            code=code_blocks(section),
            links={link for link in links_in(section) if not link.startswith("README")},
            items=len(re.findall(r"^(?:\||- )", section, re.MULTILINE)),
        )
        for section in sections(readme)
    ]


def in_english(readme: str) -> str:
    """Return *readme* with its prompts in English and its code without comments."""
    for chinese, english in TRANSLATED.items():
        readme = readme.replace(chinese, english)
    return re.sub(r"[ \t]+# .*", "", readme)


def leads_somewhere(link: str, document: Path) -> bool:
    path, _, section = link.partition("#")
    target = document.parent / path if path else document
    return target.exists() and (not section or section in anchors_in(target.read_text("utf-8")))


def test_a_composed_gateway_has_time_to_end() -> None:
    """After the drain it still answers, and settles."""
    compose, image = read("docker-compose.yml"), read("Dockerfile")
    [lame_duck_s] = re.findall(r"GATEWAY_LAME_DUCK_S=(\d+)", image)
    [grace_s] = re.findall(r"x-gateway:.*?stop_grace_period: (\d+)s.*\nservices:", compose, re.DOTALL)

    assert f"GATEWAY_LAME_DUCK_S: ${{GATEWAY_LAME_DUCK_S:-{lame_duck_s}}}" in compose
    assert int(grace_s) >= int(lame_duck_s) + load_settings({}).drain_s + 10
