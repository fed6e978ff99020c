"""How a command becomes bytes: by hiredis, but for what many commands have alike, which is packed once.

hiredis takes 0.1 µs for a word and 0.2 for a number. So nothing is gained where a step's few own words and its keys are
kept packed (tried: to put the pieces together takes as long), and much where a ladder is: it has dozens of numbers.
"""

from collections.abc import Sequence
from typing import Self

from hiredis import pack_command

Word = str | bytes | int


class Packed(bytes):
    """Some words in a row, packed: the last of a command, or its last but those."""

    many: int

    @classmethod
    def of(cls, *words: Word) -> Self:
        """Pack these."""
        made = cls(_without_head(_packed(words)))
        made.many = len(words)
        return made


def pack(command: Sequence[Word]) -> bytes:
    """Pack a command."""
    loose = len(command)
    while type(command[loose - 1]) is Packed:
        loose -= 1
    if loose == len(command):
        return _packed(command)
    tail = [words for words in command[loose:] if isinstance(words, Packed)]  # all of them
    many = loose + sum([words.many for words in tail])
    return b"".join((b"*%d\r\n" % many, _without_head(_packed(command[:loose])), *tail))


def _packed(words: Sequence[Word]) -> bytes:
    packed: bytes = pack_command(words)  # type: ignore[arg-type] # its stub knows tuples of one word only
    return packed


def _without_head(packed: bytes) -> bytes:
    """Leave out what says how many words there are."""
    return packed[packed.index(b"\n") + 1 :]
