"""Hash tokens and people with the gateway's secrets, and hold the accepted kinds of credentials."""

from dataclasses import dataclass

from service.domain.fingerprint import keyed_hash

_MARK_CHARACTERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The accepted kinds of credentials, and the keys of their hashes.

    *admin_key* is the operator's own. *token_keys* are newest first: a key that was hashed with an older
    secret stays valid while that secret is listed.
    """

    takes_keys: bool
    takes_jwt: bool
    token_keys: tuple[bytes, ...]
    person_key: bytes
    admin_key: str | None = None

    @property
    def is_open(self) -> bool:
        """Tell if the gateway asks for no credentials."""
        return not (self.takes_keys or self.takes_jwt)

    def admin_hash(self) -> str | None:
        """Return the hash of the operator's own key, if there is one."""
        return None if self.admin_key is None else self.hash_token(self.admin_key)

    def hash_token(self, token: str) -> str:
        """Return the hash under which a new token is stored."""
        return keyed_hash(self.token_keys[0], token)

    def secret_mark(self) -> str:
        """Return a mark that distinguishes the secret of new keys from others."""
        return _mark_of(self.token_keys[0])

    def takes_keys_of(self, secret_mark: str) -> bool | None:
        """Tell if a listed secret has this mark; None for a key without one."""
        if not secret_mark:
            return None
        return any(_mark_of(token_key) == secret_mark for token_key in self.token_keys)

    def person(self, name: str) -> str:
        """Return the hash that stands for the person *name*, for every kind of credentials."""
        return keyed_hash(self.person_key, f"user {name}")

    def anonym(self, token: str) -> str:
        """Return the hash that stands for the bearer of any *token*, in open mode."""
        return keyed_hash(self.person_key, f"token {token}")


def _mark_of(token_key: bytes) -> str:
    # No API key has this form; eight digits tell a handful of secrets apart.
    return keyed_hash(token_key, "which secret")[:_MARK_CHARACTERS]
