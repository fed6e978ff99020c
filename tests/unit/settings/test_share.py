"""Switches dealt out to processes, and what of the config is each one's own."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import Share, ShareError, load, machine_of, part_of, read_share, shares
from tests.unit.settings.folder import Folder

SWITCH = '\n[[switch]]\nname = "{name}"\nsecret_env = "PBX1_SECRET"\n'


def folder_of(root: Path, *names: str, gateway: str = "") -> Folder:
    """A config of these switches."""
    folder = Folder(root / "config", "acme")
    folder.write("gateway.toml", gateway + "".join(SWITCH.format(name=name) for name in names))
    return folder


@given(st.sets(st.sampled_from([f"pbx{number}" for number in range(40)])), st.integers(1, 64))
def test_each_switch_is_one_processes_and_none_has_two_more_than_another(names: set[str], processes: int) -> None:
    """Whatever their number; and none is idle while there are switches enough."""
    dealt = shares(sorted(names, reverse=True), processes)
    assert sorted(name for share in dealt for name in share.switches) == sorted(names)
    sizes = [len(share.switches) for share in dealt]
    assert max(sizes) - min(sizes) <= 1
    assert len(dealt) == max(1, min(processes, len(names)))
    assert [share.number for share in dealt] == list(range(len(dealt)))
    assert all(read_share(str(share)) == share for share in dealt if share.switches)


def test_the_rule() -> None:
    """Process i has the switches i, i + N, ... of those sorted by name."""
    assert [share.switches for share in shares(["d", "b", "a", "e", "c"], 2)] == [("a", "c", "e"), ("b", "d")]


@pytest.mark.parametrize("text", ["", "1/4", "4/4:a", "0/65:a", "x/2:a", "0/2:", "0/2:a,,b", "0/2:a b"])
def test_what_is_no_share_is_told(text: str) -> None:
    """It is a word of callgate to itself."""
    with pytest.raises(ShareError, match="no share"):
        read_share(text)


def test_a_part_has_ports_folder_and_socket_of_its_own_and_the_rest_in_common(tmp_path: Path) -> None:
    """Books, journal and audit log are those of all."""
    folder = folder_of(tmp_path, "a", "b", "c")
    whole = load(folder.root, folder.environ)
    part = part_of(whole, Share(1, 2, ("b",)))
    assert [switch.name for switch in part.switches] == ["b"]
    assert part.elsewhere == {"a", "c"}
    assert part.ledger.queue_dir == whole.ledger.queue_dir / "1"
    assert part.control_socket == whole.ledger.queue_dir / "1" / "control.sock"
    assert (part.http.port, part.api.port) == (9474, 9475)
    assert (part.redis, part.journal, part.api.audit_file) == (whole.redis, whole.journal, whole.api.audit_file)
    assert Share(1, 2, ("b",)).port(0) == 0


def test_a_reload_keeps_the_share_whatever_the_config_has_by_now(tmp_path: Path) -> None:
    """A switch that is new would go to another process by the rule, and move others: that is for the next start."""
    folder = folder_of(tmp_path, "b", "c")
    before = part_of(load(folder.root, folder.environ), Share(1, 2, ("c",)))
    folder.write("gateway.toml", "".join(SWITCH.format(name=name) for name in ("a", "b", "c")))
    after = load(folder.root, folder.environ, before=before)
    assert [switch.name for switch in after.switches] == ["c"]
    assert after.elsewhere == {"a", "b"}
    assert after.http.port == before.http.port


@pytest.mark.parametrize(
    ("gateway", "sentence"),
    [
        ('[http]\nport = 9464\n[api]\nport = 9474\ntokens_file = "tokens.toml"\n', "listen on port 9474"),
        ("[http]\nport = 65530\n", "too high"),
        (f'[gateway]\nname = "{"n" * 63}"\n', "name is too long"),
    ],
)
def test_processes_that_would_be_in_each_others_way_are_refused(tmp_path: Path, gateway: str, sentence: str) -> None:
    """Before one of them is started."""
    folder = folder_of(tmp_path, "a", "b", gateway=gateway)
    folder.write("tokens.toml", "")
    settings = load(folder.root, folder.environ)
    with pytest.raises(ShareError, match=sentence):
        machine_of(settings, shares(["a", "b"], 2))


def test_more_processes_than_switches_are_told_by_the_check(tmp_path: Path) -> None:
    """The others would have nothing to do."""
    folder = folder_of(tmp_path, "a", "b", gateway="[gateway]\nprocesses = 3\n")
    problem = folder.problem()
    assert problem.is_warning
    assert "3 processes for 2 switches" in str(problem)
    folder.change("gateway.toml", "processes = 3", "processes = 2")
    assert folder.check() == []
