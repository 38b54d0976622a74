"""Hold the Chinese of the pages and of the command line to one word for each thing."""

from pathlib import Path

import pytest

from tests.processes import REPOSITORY

INSTEAD = {
    "图像": "图片, as in the guide and the README",
    "供应商": "服务商, for the provider",
    "沙盒": "沙箱, for the sandbox",
    "订单": "请求, for an order",
    "下单": "请求, for an order",
    "运维人员": "管理员, for who runs the gateway",
    "密文": "签名密钥: a secret, and no ciphertext",
}
"""Words that are not to be used, each with the one to use."""
OF_TEAMS_AND_KEYS = "停用"
"""Closed by an admin. A model that ends is 下线."""
TEXTS = [
    *sorted((REPOSITORY / "service/web").rglob("*words*.js")),
    REPOSITORY / "service/commands/ordering/language.py",
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(REPOSITORY / "service")))
def test_a_thing_has_one_word_in_chinese(path: Path) -> None:
    text = path.read_text("utf-8")

    assert {word: use for word, use in INSTEAD.items() if word in text} == {}
    assert OF_TEAMS_AND_KEYS not in text or "models/" not in path.as_posix()
