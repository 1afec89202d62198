"""A batch of recordings for ``airsift segment``: to standard output, a file or a folder."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.batch.outputs import Outputs, State, Task, audio_of, source_of
from airsift.batch.recordings import find_recordings
from airsift.batch.work import Result, fingerprint_of, make_result
from airsift.cli.common import complain, put, report, say, verbosity, write_for_machines
from airsift.errors import ConfigError, DecodeError
from airsift.inputs import label_of
from stream.lines import to_json
from stream.sinks.terminal import aside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airsift.cli.batch_progress import BatchBar
    from airsift.cli.processes import Run
    from airsift.config import Config
    from airsift.formats import Format
    from stream.events import Event
    from stream.runner import Stop
    from stream.sources.base import Recording

    Take = Callable[[Task, Result], object]
    OnEvent = Callable[[Event], object]


@dataclass(frozen=True, slots=True)
class Batch:
    """What is asked for.

    Parameters
    ----------
    names : list of str
        Files, folders, patterns and addresses.
    config : Config
        The configuration.
    track : str or None
        Number, language or title of the audio track.
    format : Format
        Of the results.
    jobs : int > 0
        Number of processes.
    stop : Stop
        Ends the batch.
    is_one : bool
        Whether the names are one recording, and not a folder or a pattern.
    """

    names: list[str]
    config: Config
    track: str | None
    format: Format
    jobs: int
    stop: Stop
    is_one: bool

    @property
    def is_parallel(self) -> bool:
        """Whether recordings are processed in other processes."""
        return self.jobs > 1 and not self.is_one


class _Failures:
    """Whether anything failed; each failure is a line on standard error."""

    def __init__(self, *, with_warnings: bool = True) -> None:
        self.count = 0
        self._with_warnings = with_warnings

    def tell(self, problem: str, is_failure: bool = True) -> None:
        """Print a problem."""
        complain(f"airsift: {problem}")
        self.count += is_failure

    def tell_of(self, result: Result) -> None:
        """Print what is wrong with a recording; it counts once."""
        for warning in result.warnings if self._with_warnings else ():
            complain(f"airsift: {warning}")
        if result.error is not None:
            report(result.error)
        self.count += bool(result.warnings) or result.error is not None


def to_standard_output(batch: Batch) -> bool:
    """Write results one after the other; return whether all recordings were read.

    Of a recording that is processed in this process, JSON lines and rows are written at once.
    """
    if batch.format.name != "table":
        write_for_machines()
    # A table has its recording's warnings: a terminal shows both streams, and each once.
    is_seen = batch.format.name == "table" and sys.stdout.isatty()
    failures, is_first = _Failures(with_warnings=not is_seen), True
    on_event = _live(batch.format) if not batch.is_parallel else None

    def take(task: Task, result: Result) -> None:
        nonlocal is_first
        if on_event is None and result.data:
            data = result.data
            if batch.format.many == "headed" and not is_first:
                data = data.partition(b"\n")[2]
            if batch.format.name == "table" and not is_first:
                data = b"\n" + data
            _put(data)
            is_first = False
        failures.tell_of(result)

    with _bar(batch) as bar:
        items = find_recordings(batch.names, failures.tell)
        tasks = (
            Task(item, audio=label_of(item.name), source=source_of(item.name)) for item in items
        )
        _process(batch, tasks, take, bar, on_event=on_event)
    return not failures.count


def to_file(batch: Batch, target: Path, *, overwrite: bool) -> bool:
    """Write the result of a single recording to a file; return whether it was read.

    Raises
    ------
    ConfigError
        The file exists, or is the recording, or cannot be written.
    """
    from airsift.files import write_whole

    name = batch.names[0]
    if target.exists() and Path(name).exists() and target.samefile(name):
        raise ConfigError(f"{target}: is the recording itself; name another --output")
    if target.is_file() and not overwrite and target.parent != Path("/dev"):
        raise ConfigError(
            f"{target}: exists already; replace it with --overwrite, or name another --output"
        )
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: its folder does not exist; make it, or name another --output")
    failures = _Failures()

    def take(task: Task, result: Result) -> None:
        failures.tell_of(result)
        if not result.error and not batch.stop.requested:
            write_whole(target, result.data)

    items = find_recordings(batch.names, failures.tell)
    tasks = (Task(item, audio=audio_of(item, target, batch.format)) for item in items)
    _process(batch, tasks, take, None)
    return not failures.count


def to_folder(batch: Batch, folder: Path, *, overwrite: bool) -> bool:
    """Write a file for each recording; pass over those that are done; return whether all were read.

    Raises
    ------
    ConfigError
        The folder cannot be written, or another process writes into it.
    """
    from airsift.batch.ledger import open_ledger

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be made ({error.strerror or error}); name another --output"
        ) from error
    made_by = fingerprint_of(batch.config, batch.track, batch.format.name)
    failures, written = _Failures(), 0
    with open_ledger(folder) as ledger, _bar(batch) as bar:
        outputs = Outputs(folder, ledger, batch.format, made_by, overwrite=overwrite)
        planned = _Planned(batch, outputs, failures, bar)

        def take(task: Task, result: Result) -> None:
            nonlocal written
            failures.tell_of(result)
            if not result.error and not batch.stop.requested:
                outputs.write(task, result.data, len(result.warnings))
                written += 1

        _process(batch, planned.tasks(), take, bar, in_order=False)
    parts = [f"{written} written"]
    if planned.done_before:
        parts.append(f"{planned.done_before} done before")
    if failures.count:
        parts.append(f"{failures.count} failed or damaged")
    if batch.stop.requested:
        parts.append("interrupted; the same command goes on")
    if not verbosity.quiet:
        say(f"{folder}: {', '.join(parts)}")
    return not failures.count


class _Planned:
    """What is left to do for a folder.

    Attributes
    ----------
    done_before : int
        Number of recordings that were passed over.
    """

    def __init__(
        self, batch: Batch, outputs: Outputs, failures: _Failures, bar: BatchBar | None
    ) -> None:
        self._batch, self._outputs, self._failures, self._bar = batch, outputs, failures, bar
        self.done_before = 0

    def tasks(self) -> Iterator[Task]:
        """Yield what is new, as it is found."""
        for item in find_recordings(self._batch.names, self._failures.tell):
            if self._batch.stop.requested:
                return
            n_bytes = 0
            try:
                task = self._outputs.plan(item)
                n_bytes = task.n_bytes
                if task.state is State.NEW:
                    yield task
                    continue
                self.done_before += 1
                if task.state is State.DAMAGED:
                    self._failures.tell(
                        f"{label_of(item.name)}: was damaged when it was read, so its result is "
                        "not whole; --overwrite reads it again"
                    )
            except ConfigError as error:
                self._failures.tell(str(error))
            if self._bar is not None:
                self._bar.passed_over(n_bytes)


def _process(
    batch: Batch,
    tasks: Iterable[Task],
    take: Take,
    bar: BatchBar | None,
    *,
    in_order: bool = True,
    on_event: OnEvent | None = None,
) -> None:
    """Process tasks in this process, or in several; give each with its result to `take`."""
    if batch.is_parallel:
        results = _in_processes(batch, tasks, in_order=in_order)
    else:
        results = ((task, _here(batch, task, bar, on_event)) for task in tasks)
    for task, result in results:
        take(task, result)
        if bar is not None:
            bar.processed(label_of(task.item.name), task.n_bytes, result.duration_s)
        if batch.stop.requested:
            break


def _here(batch: Batch, task: Task, bar: BatchBar | None, on_event: OnEvent | None) -> Result:
    @contextmanager
    def watch(recording: Recording) -> Iterator[Callable[[Mapping[str, float]], None] | None]:
        name, duration_s = label_of(task.item.name), recording.duration_s
        if bar is None:
            with progress_bar(name, duration_s) as progress:
                yield progress
        else:
            bar.at(name)
            yield lambda ends: bar.at(name, max(ends.values()), duration_s)

    from airsift.cli.progress import progress_bar

    return make_result(
        task.item.name,
        batch.config,
        batch.track,
        batch.format.name,
        task.audio,
        stop=batch.stop,
        watch=watch,
        on_event=on_event or (lambda _: None),
    )


def _in_processes(
    batch: Batch, tasks: Iterable[Task], *, in_order: bool
) -> Iterator[tuple[Task, Result]]:
    from airsift.cli.processes import each_in_processes

    def work(task: Task, run: Run) -> Result:
        rest = (batch.config, batch.track, batch.format.name, task.audio)
        try:
            return run(make_result, task.item.name, *rest)
        except DecodeError as error:  # the process died
            return Result(error=error)

    yield from each_in_processes(
        work,
        tasks,
        batch.jobs,
        lambda task: task.n_bytes,
        in_order=in_order,
        stopped=lambda: batch.stop.requested,
    )


@contextmanager
def _bar(batch: Batch) -> Iterator[BatchBar | None]:
    """Give the bar of a batch; None for one recording, which has a bar of its own."""
    from airsift.cli.batch_progress import batch_bar

    if batch.is_one:
        yield None
        return
    items = find_recordings(batch.names, lambda *_: None)
    with batch_bar(max(source_of(item.name)[1], 0) for item in items) as bar:
        yield bar


def _live(format: Format) -> OnEvent | None:  # noqa: A002 the user's word
    """Return what writes each event at once; None if the format is no line for each."""
    from airsift.formats import rows

    if format.name == "jsonl":
        return lambda event: put(to_json(event.to_dict()))
    if format.name != "csv":
        return None
    _put(rows.csv_line(rows.FIELDS).encode())
    return lambda event: _put(rows.csv_row(event.to_dict()).encode("utf-8", "replace"))


def _put(data: bytes) -> None:
    """Write bytes to standard output; where that takes text only, as text."""
    with aside(sys.stdout):
        if sys.stdout.encoding == "utf-8" and hasattr(sys.stdout, "buffer"):
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
        else:
            sys.stdout.write(data.decode("utf-8", "replace"))
        sys.stdout.flush()
