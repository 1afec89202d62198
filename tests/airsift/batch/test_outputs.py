"""The results in a folder: each recording has its own, and what is whole is not made again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.batch.ledger import NAME, Ledger, open_ledger
from airsift.batch.outputs import Outputs, State, Task
from airsift.batch.recordings import Item
from airsift.errors import ConfigError
from airsift.formats import FORMATS


@contextmanager
def outputs(
    folder: Path, made_by: str = "1", format_name: str = "srt", *, overwrite: bool = False
) -> Iterator[Outputs]:
    folder.mkdir(exist_ok=True)
    with open_ledger(folder) as ledger:
        yield Outputs(folder, ledger, FORMATS[format_name], made_by, overwrite=overwrite)


def recording(tmp_path: Path, name: str = "rec/a.mp3", data: bytes = b"audio") -> Item:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Item(str(path), path.name)


def make(folder: Path, item: Item, data: bytes = b"result", made_by: str = "1") -> Task:
    """Make a result if that is to be done; return what was planned."""
    with outputs(folder, made_by) as there:
        task = there.plan(item)
        if task.state is State.NEW:
            there.write(task, data, 0)
        return task


def test_a_result_is_made_once(tmp_path: Path) -> None:
    item, out = recording(tmp_path), tmp_path / "out"
    assert make(out, item).state is State.NEW
    assert (out / "a.srt").read_bytes() == b"result"
    assert make(out, item).state is State.DONE
    assert sorted(path.name for path in out.iterdir()) == [NAME, "a.srt"]


def test_a_result_is_made_again_for_other_settings_another_input_and_when_it_is_gone(
    tmp_path: Path,
) -> None:
    item, out = recording(tmp_path), tmp_path / "out"
    make(out, item)
    assert make(out, item, made_by="2").state is State.NEW
    assert make(out, item, made_by="2").state is State.DONE
    Path(item.name).write_bytes(b"more audio")
    assert make(out, item, made_by="2").state is State.NEW
    os.utime(item.name, ns=(1, 1))
    assert make(out, item, made_by="2").state is State.NEW
    (out / "a.srt").unlink()
    assert make(out, item, made_by="2").state is State.NEW


def test_what_was_corrected_by_hand_stays(tmp_path: Path) -> None:
    item, out = recording(tmp_path), tmp_path / "out"
    make(out, item)
    (out / "a.srt").write_bytes(b"corrected")
    assert make(out, item).state is State.DONE
    with pytest.raises(ConfigError, match=r"a\.srt: was changed by somebody .* --overwrite"):
        make(out, item, made_by="2")
    assert (out / "a.srt").read_bytes() == b"corrected"
    with outputs(out, "2", overwrite=True) as there:
        assert there.plan(item).state is State.NEW


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    item, out = recording(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "a.srt").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"a\.srt: exists, and is no result"):
        make(out, item)
    assert (out / "a.srt").read_bytes() == b"mine"


def test_recordings_of_one_name_have_results_of_their_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    items = [recording(tmp_path, f"rec/a.{kind}", kind.encode()) for kind in ("mp3", "wav")]
    assert [make(out, item).output for item in items] == ["a.srt", "a.wav.srt"]
    # Also in another order, and in one run.
    assert [make(out, item).output for item in items[::-1]] == ["a.wav.srt", "a.srt"]
    other = recording(tmp_path, "other/a.wav", b"another")
    with pytest.raises(ConfigError, match=r"other/a.wav: its result would be .*a\.wav\.srt"):
        make(out, other)


@given(
    st.lists(
        st.tuples(st.sampled_from(["x", "x/y"]), st.sampled_from(["a", "b"]),
                  st.sampled_from([".mp3", ".wav", ""])),
        unique=True, max_size=8,
    ),
    st.booleans(),
)  # fmt: skip
def test_no_two_recordings_share_a_result(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str, str]], flat: bool
) -> None:
    tmp_path = tmp_path_factory.mktemp("a")
    results: dict[str, str] = {}
    with outputs(tmp_path / "out") as there:
        for folder, stem, suffix in names:
            item = recording(tmp_path, f"{folder}/{stem}{suffix}", os.urandom(8))
            if not flat:
                item = Item(item.name, f"{folder}/{stem}{suffix}")
            try:
                task = there.plan(item)
            except ConfigError:
                assert flat or not all(kind for *_, kind in names)  # "a" has no other name
                continue
            assert task.output not in results
            results[task.output] = item.name
            there.write(task, item.name.encode(), 0)
    for output, name in results.items():
        assert (tmp_path / "out" / output).read_text() == name


def test_a_moved_recording_is_the_same(tmp_path: Path) -> None:
    item, out = recording(tmp_path), tmp_path / "out"
    make(out, item)
    Path(item.name).parent.rename(tmp_path / "moved")
    assert make(out, Item(str(tmp_path / "moved/a.mp3"), "a.mp3")).state is State.DONE


def test_a_kill_between_ledger_and_result_is_continued(tmp_path: Path) -> None:
    item, out = recording(tmp_path), tmp_path / "out"
    make(out, item)
    result = (out / "a.srt").read_bytes()
    make(out, item, b"newer", made_by="2")
    (out / "a.srt").write_bytes(result)  # as if it had been killed before the second one was there
    assert make(out, item, b"newer", made_by="2").state is State.NEW
    assert (out / "a.srt").read_bytes() == b"newer"


def test_a_ledger_that_was_cut_off_is_continued(tmp_path: Path) -> None:
    first, second = recording(tmp_path), recording(tmp_path, "rec/b.mp3")
    out = tmp_path / "out"
    make(out, first)
    with (out / NAME).open("ab") as file:
        file.write(b'{"output": "b.srt", "rec')
    assert make(out, second).state is State.NEW
    assert [make(out, item).state for item in (first, second)] == [State.DONE] * 2


def test_a_ledger_does_not_grow_for_ever(tmp_path: Path) -> None:
    item, out = recording(tmp_path), tmp_path / "out"
    for number in range(150):
        make(out, item, made_by=f"{number}")
    assert len((out / NAME).read_bytes().splitlines()) <= 104
    assert make(out, item, made_by="149").state is State.DONE


def test_one_process_writes_into_a_folder(tmp_path: Path) -> None:
    with (
        outputs(tmp_path / "out"),
        pytest.raises(ConfigError, match="another airsift writes into this folder"),
        outputs(tmp_path / "out"),
    ):
        pytest.fail("both do")
    with outputs(tmp_path / "out"):
        pass


def test_rubbish_in_a_ledger_is_passed_over(tmp_path: Path) -> None:
    lines = ["", "[]", "3", '{"output": 1}', "\x00", json.dumps({"output": "a"})]
    (tmp_path / NAME).write_text("\n".join(lines))
    ledger = Ledger(tmp_path)
    assert ledger.get("a") is None
    ledger.close()


def test_a_damaged_recording_is_told_again(tmp_path: Path) -> None:
    item, out = recording(tmp_path), tmp_path / "out"
    with outputs(out) as there:
        there.write(there.plan(item), b"half", 2)
    assert make(out, item).state is State.DAMAGED


@pytest.mark.parametrize(
    ("below", "output"),
    [("2026/a.mp3", "2026/a.m3u8"), ("a", "a.m3u8"), (".mp3", ".mp3.m3u8"), ("é" * 200, None)],
)
def test_a_path_to_the_audio_is_seen_from_the_result(
    tmp_path: Path, below: str, output: str | None
) -> None:
    item = Item(str(tmp_path / "rec" / "2026" / "a.mp3"), below)
    with outputs(tmp_path / "out", format_name="m3u") as there:
        task = there.plan(item)
        assert output in (None, task.output)
        assert (tmp_path / "out" / task.output).parent.joinpath(task.audio).resolve() == Path(
            item.name
        )
        there.write(task, b"x", 0)


def test_standard_input_is_another_one_each_time(tmp_path: Path) -> None:
    item = Item("-", "stdin")
    assert [make(tmp_path / "out", item).state for _ in range(2)] == [State.NEW] * 2
    url = Item("https://example.org/a.mp3?key=1", "a.mp3")
    assert [make(tmp_path / "out", url).state for _ in range(2)] == [State.NEW, State.DONE]
    assert "key" not in (tmp_path / "out" / NAME).read_text()
