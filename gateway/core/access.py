"""Who may do what by the API: tokens, their roles, and the tenants that they see.

Rules:

- A token is 256 random bits. Nobody can guess one, nor search for one that has a known hash: so the hash kept of it is
  one plain SHA-256. Slow hashes are for passwords, which people think up; here they would only cost each request
  milliseconds, and a flood of wrong tokens would stop the calls.
- Whatever a stranger presents is hashed and compared with all tokens, each in constant time.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

TOKEN_BYTES = 32
TOKEN_PREFIX = "cg_"  # noqa: S105 - by which scanners for leaked secrets can know one
MOST_TOKEN_CHARACTERS = 128


class Role(StrEnum):
    """What a token may do. Each role may read."""

    READ = "read"
    OPERATE = "operate"  # cut calls, quarantine, close, reload
    BILL = "bill"  # top up, reverse, recharges


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the tokens' file. ``tenants``: None is all of them."""

    name: str
    roles: frozenset[Role]
    tenants: frozenset[str] | None
    sha256: bytes

    def may(self, role: Role) -> bool:
        """Whether it has the role."""
        return role is Role.READ or role in self.roles

    def sees(self, tenant: str) -> bool:
        """Whether there is such a tenant, as far as this token is told."""
        return self.tenants is None or tenant in self.tenants


class Keyring:
    """The tokens in force."""

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self.tokens = tuple(tokens)

    def find(self, secret: str) -> Token | None:
        """The token of that secret."""
        given = hash_of(secret)
        found = None
        for token in self.tokens:  # all of them, also after the right one: how long it takes says nothing
            if hmac.compare_digest(token.sha256, given):
                found = token
        return found


def hash_of(secret: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()
