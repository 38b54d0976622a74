"""Read the project's documents: tables, code blocks, links and sections."""

import re

from tests.processes import REPOSITORY

READMES = ["README.md", "README.zh-CN.md"]
PAGES = sorted([*READMES, *(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("docs/*.md"))])
"""Documents for those who call and run the gateway."""


def read(path: str) -> str:
    return (REPOSITORY / path).read_text("utf-8")


def rows_behind(heading: str, text: str) -> list[list[str]]:
    """Return the cells of the first table behind *heading*, without its head."""
    part = text.split(heading, 1)[1]
    lines = [line for line in re.split(r"\n#", part)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted_in(cell: str) -> list[str]:
    """Return the names in backticks."""
    return re.findall(r"`(\w+)`", cell)


def code_blocks(text: str, language: str = r"\w*") -> list[tuple[str, str]]:
    """Return the language and the code of each block; *language* is a pattern."""
    return re.findall(rf"^```({language})\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def sections(text: str) -> list[str]:
    """Return the parts that begin with a heading."""
    return re.split(r"^(?=#+ )", text, flags=re.MULTILINE)[1:]


def links_in(text: str) -> list[str]:
    """Return the targets of links to places in this repository."""
    return [link for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", text) if "://" not in link]


def anchors_in(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of *text*."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
