"""Compute batches in units of fixed shape, so that a row's result depends on that row alone.

The last bits of a matrix product or a convolution depend on its shape and its memory alignment,
because libraries choose instructions and summation order by them. With batches of varying size, the
events of a station would depend on how its audio was divided into chunks, on other stations and on
restarts.

Here the rows of a batch are computed in *units*: blocks of a fixed number of rows, zero-padded,
each copied into aligned memory of its own::

    rows   a b c d e f g h i j k
    units  a b c d e f g h i j      10
                               k 0  2

Whether a result still depends on the row's position, on the other rows or on the size of the unit
depends on library and processor. This is checked on the machine before the first use of each
function. A size that fails is not used; if all fail, each row is a unit of its own, and a warning
is logged.

Each unit runs on one thread, because some convolutions differ with the number of threads. With
several threads, several units run at once. The arrays may be numpy's or another library's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = NDArray[np.float32]
log = logging.getLogger(__name__)


class Rows(Protocol):
    """An array of any library, whose first dimension is rows."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...


A = TypeVar("A", bound=Rows)
Function = Callable[..., tuple[A, ...]]


@dataclass(frozen=True, slots=True)
class Library(Generic[A]):
    """What units need of a library of arrays.

    Parameters
    ----------
    empty : callable
        Returns an array of the kind of the first argument and the shape of the second, in new
        memory that is aligned as the library likes it; its numbers do not matter.
    join : callable
        Joins arrays along their rows.
    equal : callable
        Whether two arrays have the same bits.
    place : callable
        Where an array is and its kind of numbers: what a check on this machine holds for.
    moved : callable
        Returns an array at such a place.
    in_threads : callable
        Makes a function behave in other threads as in the calling one.
    in_use : callable
        Makes a function behave in the check as it does when it is used.
    settles : int >= 0
        Calls after which a function of the library gives the bits that it will always give.
    """

    empty: Callable[[A, tuple[int, ...]], A]
    join: Callable[[Sequence[A]], A]
    equal: Callable[[A, A], bool]
    place: Callable[[A], Hashable]
    moved: Callable[[A, Hashable], A]
    in_threads: Callable[[Function[A]], Function[A]]
    in_use: Callable[[Function[A]], Function[A]]
    settles: int = 0


# Rows of a unit: those of the usual pushes, because rows of padding cost as much as others. CPU
# time of a second of audio through the pipeline, in ms on a busy AMD EPYC, by the allowed sizes
# (``python -m bench.speed.units``):
#
#                                1   2, 8   1, 2, 5, 8, 10    16
#     a file, 10 s at a push   2.8    1.7              1.4   2.2
#     one station, live        4.2    4.9              4.5    13
#     eight stations, live     2.8    1.7              1.7   2.8
SIZES = (1, 2, 5, 8, 10)

_FEW = 100  # numbers

_pool: ThreadPoolExecutor | None = None
_threads = 1


ALIGNMENT = 64  # bytes: a line of the cache, and the widest vector


def _empty(like: Array, shape: tuple[int, ...]) -> Array:
    count = prod(shape) * like.itemsize
    memory = np.empty(count + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + count].view(like.dtype).reshape(shape)


NUMPY: Library[Array] = Library(
    empty=_empty,
    join=np.concatenate,
    equal=np.array_equal,
    place=lambda rows: rows.dtype,
    moved=lambda rows, place: rows,
    in_threads=lambda function: function,
    in_use=lambda function: function,
)


def use_threads(count: int) -> None:
    """Set the number of threads: one unit on each, so that the number changes no bit.

    Parameters
    ----------
    count : int > 0
        Threads of the process for front end and networks.
    """
    global _pool, _threads
    if count != _threads:
        # A pool that is replaced may be in use; its threads end when nothing holds it.
        _pool = ThreadPoolExecutor(count, thread_name_prefix="unit") if count > 1 else None
        _threads = count


class Units(Generic[A]):
    """Apply a function of rows to any number of rows, in units of fixed sizes.

    Parameters
    ----------
    name : str
        Name of the function, for the log.
    function : callable
        Takes arrays whose first dimension is rows, and returns a tuple of such arrays. Each
        result row must be a function of its input row.
    examples : callable
        Returns the given number of random rows for each argument, for the check.
    library : Library
        That of the arrays.
    sizes : tuple of int > 0
        Allowed rows of a unit, ascending.
    reuse : bool
        Whether no result shares memory with an argument. The rows of a unit are then copied into
        memory that is still in the cache from the unit before; otherwise into new memory.
    """

    def __init__(
        self,
        name: str,
        function: Function[A],
        examples: Callable[[int], tuple[A, ...]],
        library: Library[A],
        sizes: tuple[int, ...] = SIZES,
        *,
        reuse: bool = False,
    ) -> None:
        self.name = name
        self.function = function
        self.examples = examples
        self.library = library
        self._wanted = sizes
        # By shape; a unit that runs has its own. Threads may take and give back at once.
        self._spare: dict[tuple[int, ...], list[A]] | None = {} if reuse else None
        self._found: dict[Hashable, tuple[int, ...]] = {}

    def sizes(self, place: Hashable = None) -> tuple[int, ...]:
        """Return the sizes that passed the check on this machine; see `checked_sizes`.

        Parameters
        ----------
        place : hashable
            As `Library.place` returns it; None is where the examples are.
        """
        rows = self.examples(self._wanted[-1]) if place is None else ()
        place = self.library.place(rows[0]) if place is None else place
        if place not in self._found:
            rows = rows or self.examples(self._wanted[-1])
            moved = tuple(self.library.moved(each, place) for each in rows)
            self._found[place] = checked_sizes(
                self.library.in_use(self.function), moved, self._wanted, self.library
            )
            if self._found[place] == (1,) != self._wanted:
                log.warning(
                    "on this processor the last bits of a result depend on what is computed with "
                    "it: %s computed one step of one station at a time, which is slower and gives "
                    "the same events",
                    self.name,
                )
        return self._found[place]

    def __call__(self, *rows: A) -> tuple[A, ...]:
        """Apply the function.

        Parameters
        ----------
        *rows : array [shape=(n, ...)]
            The arguments, n >= 0.

        Returns
        -------
        tuple of array [shape=(n, ...)]
            The results.
        """
        count = len(rows[0])
        blocks = list(_blocks(count, self.sizes(self.library.place(rows[0]))))

        def run(block: tuple[int, int, int]) -> tuple[A, ...]:
            first, after, size = block
            unit = tuple(self._filled(each[first:after], size) for each in rows)
            done = self.function(*unit)
            self._give_back(unit)
            return done

        pool = _pool
        if pool is None or len(blocks) == 1:
            done = [run(block) for block in blocks]
        else:
            done = list(pool.map(self.library.in_threads(run), blocks))
        if len(done) == 1:
            return tuple(result[:count] for result in done[0])
        return tuple(self.library.join(parts)[:count] for parts in zip(*done, strict=True))

    def _filled(self, rows: A, size: int) -> A:
        if self._spare is None:
            return _filled(rows, size, self.library)
        shape = (size, *rows.shape[1:])
        try:
            unit = self._spare[shape].pop()
        except (KeyError, IndexError):
            unit = self.library.empty(rows, shape)
        return _fill(unit, rows)

    def _give_back(self, unit: tuple[A, ...]) -> None:
        if self._spare is not None:
            for each in unit:
                self._spare.setdefault(each.shape, []).append(each)


def checked_sizes(
    function: Function[A], rows: tuple[A, ...], sizes: Sequence[int], library: Library[A]
) -> tuple[int, ...]:
    """Find the unit sizes in which a row has the same bits at every position.

    Parameters
    ----------
    function : callable
        As for `Units`.
    rows : tuple of array [shape=(sizes[-1], ...)]
        Random arguments of the largest unit.
    sizes : sequence of int > 0
        Candidates, ascending.
    library : Library
        That of the arrays.

    Returns
    -------
    tuple of int
        The largest in which results depend neither on the position nor on other rows, and the
        smaller ones that agree with it; ``(1,)`` if there is none.
    """
    for number in range(len(sizes), 0, -1):
        found = _agreeing(function, rows, sizes[:number], library)
        if found:
            return found
    return (1,)


def _agreeing(
    function: Function[A], rows: tuple[A, ...], sizes: Sequence[int], library: Library[A]
) -> tuple[int, ...]:
    """Return the last size and those that agree with it, or nothing if the last one fails."""
    full = sizes[-1]
    for _ in range(library.settles + 1):
        expected = function(*(_filled(each[:full], full, library) for each in rows))

    def agrees(size: int, positions: dict[int, int]) -> bool:
        """Compute a unit with rows at the given positions; compare with the expected rows."""
        unit = tuple(_filled(each[:0], size, library) for each in rows)
        for position, row in positions.items():
            for filled, each in zip(unit, rows, strict=True):
                filled[position] = each[row]
        found = function(*unit)
        return all(
            library.equal(result[position], wanted[row])
            for result, wanted in zip(found, expected, strict=True)
            for position, row in positions.items()
        )

    # Each row at another position than before, and one row at the first and the last position
    # without others. Small rows may agree by chance: they are tried at every position.
    few = max(int(np.prod(result.shape[1:])) for result in expected) < _FEW
    turns = range(1, full) if few else (1, full // 2)

    def holds(size: int) -> bool:
        return all(
            agrees(size, {place: (place + turn) % full for place in range(size)}) for turn in turns
        ) and agrees(size, dict.fromkeys((0, size - 1), full // 2))

    if not holds(full):
        return ()
    return tuple(size for size in sizes if size == full or holds(size))


def overlapping(values: Array, length: int, step: int, count: int) -> Array:
    """Return stretches that begin `step` apart, as a view that is not written to.

    numpy's `sliding_window_view` takes longer than a unit's copy.

    Parameters
    ----------
    values : np.ndarray [shape=(batch, n, width)]
        The last stretch ends within them.
    length, step, count : int > 0
        Of a stretch, between two of them, and how many.

    Returns
    -------
    np.ndarray [shape=(batch, count, length, width)]
    """
    batch, n, width = values.shape
    if (count - 1) * step + length > n:
        raise ValueError(f"{count} stretches of {length} every {step} do not fit into {n}")
    of_batch, of_row, of_value = values.strides
    return np.lib.stride_tricks.as_strided(
        values,
        (batch, count, length, width),
        (of_batch, step * of_row, of_row, of_value),
        writeable=False,
    )


def random_rows(*shapes: tuple[int, ...], scale: float = 1.0) -> Callable[[int], tuple[Array, ...]]:
    """Return a generator of examples for `Units`: constant numbers of rising magnitude.

    Parameters
    ----------
    *shapes : tuple of int
        Shape of one row of each argument.
    scale : float > 0
        Upper bound. The first rows have small numbers, which do not saturate a sigmoid.
    """

    def make(count: int) -> tuple[Array, ...]:
        generator = np.random.default_rng(count)
        rising = np.linspace(scale / count, scale, count, dtype=np.float32)
        return tuple(
            generator.random((count, *shape), np.float32) * rising.reshape(-1, *[1] * len(shape))
            for shape in shapes
        )

    return make


def _blocks(count: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Yield (first row, row after the last, rows of the unit); at least one unit."""
    start = 0
    while True:
        left = count - start
        size = next((size for size in sizes if size >= left), sizes[-1])
        yield start, min(start + size, count), size
        start += size
        if start >= count:
            return


def _filled(rows: A, size: int, library: Library[A]) -> A:
    """Return a copy in new memory, zero-padded to `size` rows."""
    return _fill(library.empty(rows, (size, *rows.shape[1:])), rows)


def _fill(unit: A, rows: A) -> A:
    unit[: len(rows)] = rows
    if len(rows) < len(unit):
        unit[len(rows) :] = 0
    return unit
