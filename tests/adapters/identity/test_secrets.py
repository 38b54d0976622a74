"""Keys from secrets, and the one secret that is made when none is given."""

import stat
from pathlib import Path

import pytest

from service.adapters.identity.secrets import derive_key, load_or_make_secret


def test_a_key_is_the_same_every_time_and_different_for_each_purpose_and_secret() -> None:
    keys = [derive_key(secret, purpose) for secret in ("one", "two") for purpose in ("image-link", "person")]

    assert derive_key("one", "image-link") == keys[0]
    assert len(set(keys)) == 4
    assert all(len(key) == 32 for key in keys)


def test_a_key_is_hkdf_sha_256() -> None:
    """So that it can be derived elsewhere: RFC 5869 without salt, by hand with HMAC."""
    import hmac  # noqa: PLC0415 - the other way to compute it belongs to this test alone

    extracted = hmac.digest(bytes(32), b"one", "sha256")
    expanded = hmac.digest(extracted, b"image-gateway/person\x01", "sha256")

    assert derive_key("one", "person") == expanded


def test_a_secret_is_created_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret"

    first = load_or_make_secret(path)

    assert load_or_make_secret(path) == first
    assert len(first) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_directories_have_two_secrets(tmp_path: Path) -> None:
    assert load_or_make_secret(tmp_path / "a") != load_or_make_secret(tmp_path / "b")


@pytest.mark.parametrize("left_behind", ["", "\n", " "])
def test_an_empty_secret_file_is_refused(tmp_path: Path, left_behind: str) -> None:
    """A full disk may leave an empty file, and anyone can guess an empty secret."""
    path = tmp_path / "secret"
    path.write_text(left_behind)

    try:
        secret = load_or_make_secret(path)
    except (ValueError, OSError, RuntimeError):
        return

    assert len(secret) >= 16
