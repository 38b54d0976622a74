"""Order with a terminal in Chinese, and hold its texts to the English ones."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.commands.ordering.language import CHINESE, Words, words_of
from tests.http.house import House, open_house
from tests.http.offices import Office
from tests.processes import REPOSITORY
from tests.test_ordering_commands import order

TERMINAL = (("LC_ALL", "zh_CN.UTF-8"),)
COMMANDS = REPOSITORY / "service/commands"


def texts_of(path: Path) -> Iterator[str]:
    """Yield each text that a module says."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if (
            isinstance(node, ast.Call)
            and node.args
            and ast.unparse(node.func) in ("say", "self._say", "desk.say", "self")
        ):
            (text, *_) = node.args
            assert isinstance(text, ast.Constant), ast.unparse(node)
            assert isinstance(text.value, str)
            yield text.value


def places_in(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}


def test_every_text_has_a_translation_with_the_same_places() -> None:
    said = {text for path in (COMMANDS / "ordering").glob("*.py") for text in texts_of(path)}

    assert said == set(CHINESE)
    assert {text: chinese for text, chinese in CHINESE.items() if places_in(text) != places_in(chinese)} == {}


@pytest.mark.parametrize(
    ("language", "is_chinese"),
    [
        ("zh_CN.UTF-8", True),
        ("zh-Hans", True),
        ("ZH", True),
        ("en_US.UTF-8", False),
        ("C", False),
        ("", False),
    ],
)
def test_a_language_is_that_of_a_locale(language: str, is_chinese: bool) -> None:
    assert words_of(language) == Words(is_chinese=is_chinese)


@pytest.mark.parametrize(
    ("given", "introduction"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "错误："),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "error: "),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "错误："),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8", "LC_ALL": "C"}, "error: "),
    ],
)
def test_the_language_is_that_of_the_terminal(
    tmp_path: Path, given: dict[str, str], introduction: str
) -> None:
    unset = {"LC_ALL": "", "LC_MESSAGES": "", "LANG": ""}

    done = order(
        "http://127.0.0.1:1", tmp_path, "generate", "a lighthouse", given=tuple((unset | given).items())
    )

    assert done.stderr.startswith(introduction)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway before a provider that costs money."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


def test_a_chinese_terminal_gets_chinese(house: House, tmp_path: Path, prompt: str) -> None:
    first = order(house.gateway.url, tmp_path, "generate", prompt, given=TERMINAL)
    both = order(house.gateway.url, tmp_path, "generate", prompt, "-n", "2", given=TERMINAL)
    missing = order("http://127.0.0.1:1", tmp_path, "generate", prompt, given=TERMINAL)
    no_file = order(house.gateway.url, tmp_path, "vary", "nowhere.png", given=TERMINAL)
    english = order("http://127.0.0.1:1", tmp_path, "generate", prompt, "--language", "en", given=TERMINAL)

    assert first.stderr.startswith("1 张图片，用时 ")
    assert both.stderr.endswith("（1 张来自缓存，免费）\n")
    assert missing.stderr.startswith("错误：http://127.0.0.1:1 没有网关应答：连接失败。")
    assert no_file.stderr == "错误：nowhere.png：没有这个文件或目录\n"
    assert english.stderr.startswith("error: No gateway answers")


def test_messages_of_the_gateway_have_a_chinese_introduction(
    office: Office, tmp_path: Path, prompt: str
) -> None:
    url = office.gateway.url
    chinese = order(url, tmp_path, "generate", prompt, "--key", "ig_unknown", given=TERMINAL)
    english = order(url, tmp_path, "generate", prompt, "--key", "ig_unknown")

    message = english.stderr.removeprefix("error: ").partition(" (request ")[0]
    assert chinese.stderr.startswith(f"错误：密钥无效或缺失：{message}（请求 ")
