"""Keys, policies and teams in memory, and tokens that say what the test told."""

import asyncio
from typing import Any

from service.domain.callers import ApiKey, Directory, Role
from service.domain.errors import StateUnavailable, Unauthenticated
from service.domain.fingerprint import keyed_hash
from service.ports.accounts import Claims


class FakeCallerBook:
    """Implements `ports.accounts.CallerBook`; *look_ups* are the hashes it was asked for.

    While *may_answer* is cleared, a look-up hangs once it has read what it will answer.
    """

    def __init__(self) -> None:
        self.is_gone = False
        self.look_ups: list[str] = []
        self.directories_read = 0
        self.looking = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._keys: dict[str, ApiKey] = {}
        self._directory = Directory()
        self._revision = 7

    def add(self, token: str, key: ApiKey, *, hashed_with: bytes = b"token") -> None:
        """Make *token* a key, as another process would."""
        self._keys[keyed_hash(hashed_with, token)] = key
        self._revision += 1

    def revoke(self, key_id: str) -> None:
        """Make a key worthless."""
        self._keys = {name: key for name, key in self._keys.items() if key.id != key_id}
        self._revision += 1

    def declare(self, directory: Directory) -> None:
        """Replace all policies and teams."""
        self._directory = directory
        self._revision += 1

    async def find_key(self, token_hash: str) -> ApiKey | None:
        self.look_ups.append(token_hash)
        self._answer()
        key = self._keys.get(token_hash)
        self.looking.set()
        await self.may_answer.wait()
        self._answer()
        return key

    async def read_directory(self) -> Directory:
        self._answer()
        self.directories_read += 1
        return self._directory

    async def revision(self) -> int:
        self._answer()
        return self._revision

    def _answer(self) -> None:
        if self.is_gone:
            raise StateUnavailable("timeout")


class FakeBookOfEverybody(FakeCallerBook):
    """A caller book in which every token is a key."""

    async def find_key(self, token_hash: str) -> ApiKey | None:
        self.look_ups.append(token_hash)
        return an_api_key(id=token_hash)


class FakeTokenVerifier:
    """Implements `ports.accounts.TokenVerifier`; *claims* by token, every other token is forged."""

    def __init__(self, **claims: Claims) -> None:
        self.claims = {f"{name}.a.b": each for name, each in claims.items()}
        self.is_gone = False
        self.judged: list[str] = []

    async def verify(self, token: str) -> Claims:
        self.judged.append(token)
        if self.is_gone:
            raise StateUnavailable("jwks")
        if token not in self.claims:
            raise Unauthenticated("The token is not valid.")
        return self.claims[token]


def an_api_key(**override: Any) -> ApiKey:
    given: dict[str, Any] = {
        "id": "key-1",
        "team": "design",
        "user": "ann",
        "role": Role.USER,
        "hint": "ig_aaaa…aaaa",
        "created_s": 1,
    }
    return ApiKey(**{**given, **override})


def some_claims(**override: Any) -> Claims:
    given: dict[str, Any] = {"subject": "ann", "team": "design", "policy": None, "expires_s": 2e9}
    return Claims(**{**given, **override})


def a_token(text: str = "") -> str:
    """Return a well-formed API key, another for each *text*."""
    return f"ig_{text.replace(' ', '_'):->43}"
