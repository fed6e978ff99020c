"""What reads the pages notices what is wrong with them: else a page could promise anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of, is_shown
from tests.docs.reader import Reader
from tests.docs.terminal import BlockFailed, Terminal


def read(tmp_path: Path, text: str) -> None:
    """Read a page of this text."""
    page = tmp_path / "page.md"
    page.write_text(text)
    reader = Reader(lambda: Terminal(tmp_path))
    try:
        reader.read(page, blocks_of(page))
    finally:
        reader.close()


def test_what_is_exported_is_there_in_the_next_block(tmp_path: Path) -> None:
    """A reader has one terminal for all blocks."""
    read(tmp_path, "```sh\nexport WORD=held\n```\n```sh\necho it is $WORD\n```\n```text\nit is held\n```\n")


def test_a_command_that_fails_is_noticed_though_others_follow(tmp_path: Path) -> None:
    """With the place on the page, and the command."""
    with pytest.raises(BlockFailed, match=r"page\.md, line 2:\n(.|\n)*ls nothing-there"):
        read(tmp_path, "\n```sh\nls nothing-there\necho done\n```\n")


def test_output_that_is_not_shown_is_noticed(tmp_path: Path) -> None:
    """What the page shows must come."""
    with pytest.raises(BlockFailed, match="and not:\nfour"):
        read(tmp_path, "```sh\necho five\n```\n```text\nfour\n```\n")


def test_a_file_is_written_and_added_to(tmp_path: Path) -> None:
    """As its title says."""
    file = tmp_path / "a.toml"
    read(tmp_path, f'```toml title="{file}"\nx = 1\n```\n```toml title="{file}, at the end"\ny = 2\n```\n')
    assert file.read_text() == "x = 1\ny = 2\n"


def test_a_section_is_changed(tmp_path: Path) -> None:
    """A key that it has gets the new value, another goes below its header; other sections keep theirs."""
    file = tmp_path / "a.conf"
    file.write_text("[general]\nenabled = no\nport = 1\n[b]\nenabled = no\n")
    read(tmp_path, f'```ini title="{file}, in [general]"\nenabled = yes\nhost = h\n```\n')
    assert file.read_text() == "[general]\nenabled = yes\nhost = h\nport = 1\n[b]\nenabled = no\n"


def test_a_section_that_is_not_there_is_noticed(tmp_path: Path) -> None:
    """A page cannot change what its reader does not have."""
    file = tmp_path / "a.conf"
    file.write_text("[b]\n")
    with pytest.raises(BlockFailed, match=r"has not one of it"):
        read(tmp_path, f'```ini title="{file}, in [general]"\nx = 1\n```\n')


def test_a_block_of_an_unknown_kind_is_noticed(tmp_path: Path) -> None:
    """Else a misspelt one would not be run."""
    with pytest.raises(BlockFailed, match="kind 'shell'"):
        read(tmp_path, "```shell\ntrue\n```\n")


def test_a_command_that_is_left_out_is_not_run(tmp_path: Path) -> None:
    """Also with a comment behind it; all others are."""
    page = tmp_path / "page.md"
    page.write_text("```sh\ntouch never  # not here\n```\n```sh\ntouch done\n```\n")
    reader = Reader(lambda: Terminal(tmp_path), frozenset({"touch never"}))
    reader.read(page, blocks_of(page))
    reader.close()
    assert [(tmp_path / name).exists() for name in ("never", "done")] == [False, True]


def test_lines_are_looked_for_in_their_order() -> None:
    """An … stands for anything within a line; frames of tables do not count."""
    assert is_shown("a … c\nd", "│ a │ b │ c │\nx\nd")
    assert not is_shown("d\na", "a\nd")
    assert not is_shown("a.c", "abc")
