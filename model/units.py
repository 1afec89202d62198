"""Compute batches in units of fixed shape, so that a row's result depends on that row alone.

The last bits of a matrix product or a convolution depend on its shape and its memory alignment,
because libraries choose instructions and summation order by them. With batches of varying size, the
events of a station would depend on how its audio was divided into chunks, on other stations and on
restarts.

Here the rows of a batch are computed in *units*: blocks of a fixed number of rows, zero-padded,
each copied into new memory, which torch aligns::

    rows   a b c d e f g h i j k
    units  a b c d e f g h i j      10
                               k 0  2

Whether a result still depends on the row's position, on the other rows or on the size of the unit
depends on library and processor. This is checked on the machine before the first use. A size that
fails is not used; if all fail, each row is a unit of its own.

Each unit runs on one thread, because some convolutions differ with the number of threads. With
several threads, several units run at once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Function = Callable[..., Tensor | tuple[Tensor, ...]]

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


def use_threads(count: int) -> None:
    """Set the number of threads: one unit on each, so that the number changes no bit.

    Parameters
    ----------
    count : int > 0
        Threads of the process for front end and networks.
    """
    global _pool  # process-wide, as is torch's number of threads
    torch.set_num_threads(1)
    if _pool is not None:
        _pool.shutdown()
    _pool = ThreadPoolExecutor(count, thread_name_prefix="unit") if count > 1 else None


class Units:
    """Apply a function of rows to any number of rows, in units of fixed sizes.

    Parameters
    ----------
    name : str
        Name of the function, for the log.
    function : callable
        Takes tensors whose first dimension is rows, and returns one such tensor or a tuple of
        them. Each result row must be a function of its input row.
    examples : callable
        Returns the given number of random rows for each argument, for the check.
    sizes : tuple of int > 0
        Allowed rows of a unit, ascending.
    """

    def __init__(
        self,
        name: str,
        function: Function,
        examples: Callable[[int], tuple[Tensor, ...]],
        sizes: tuple[int, ...] = SIZES,
    ) -> None:
        self.name = name
        self.function = function
        self.examples = examples
        self._wanted = sizes
        self._found: dict[tuple[torch.device, torch.dtype], tuple[int, ...]] = {}

    def sizes(
        self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> tuple[int, ...]:
        """Return the sizes that passed the check on this machine; see `checked_sizes`."""
        key = torch.device(device), dtype
        if key not in self._found:
            rows = tuple(each.to(*key) for each in self.examples(self._wanted[-1]))
            with torch.inference_mode():
                self._found[key] = checked_sizes(self._run, rows, self._wanted)
        return self._found[key]

    def __call__(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Apply the function.

        Parameters
        ----------
        *rows : torch.Tensor [shape=(n, ...)]
            The arguments, n >= 0.

        Returns
        -------
        tuple of torch.Tensor [shape=(n, ...)]
            The results.
        """
        count = len(rows[0])
        blocks = list(_blocks(count, self.sizes(rows[0].device, rows[0].dtype)))
        jobs = [tuple(_filled(each[a:b], size) for each in rows) for a, b, size in blocks]
        if _pool is None or len(jobs) == 1:
            done = [self._run(*job) for job in jobs]
        else:
            run = _in_mode_of_caller(self._run)
            done = list(_pool.map(lambda job: run(*job), jobs))
        if len(done) == 1:
            return tuple(result[:count] for result in done[0])
        return tuple(torch.cat(parts)[:count] for parts in zip(*done, strict=True))

    def _run(self, *unit: Tensor) -> tuple[Tensor, ...]:
        result = self.function(*unit)
        return (result,) if isinstance(result, Tensor) else result


def checked_sizes(
    function: Callable[..., tuple[Tensor, ...]], rows: tuple[Tensor, ...], sizes: Sequence[int]
) -> tuple[int, ...]:
    """Find the unit sizes in which a row has the same bits at every position.

    Parameters
    ----------
    function : callable
        As for `Units`, returning a tuple.
    rows : tuple of torch.Tensor [shape=(sizes[-1], ...)]
        Random arguments of the largest unit.
    sizes : sequence of int > 0
        Candidates, ascending.

    Returns
    -------
    tuple of int
        The largest in which results depend neither on the position nor on other rows, and the
        smaller ones that agree with it; ``(1,)`` if there is none.
    """
    for number in range(len(sizes), 0, -1):
        found = _agreeing(function, rows, sizes[:number])
        if found:
            return found
    return (1,)


def _agreeing(
    function: Callable[..., tuple[Tensor, ...]], rows: tuple[Tensor, ...], sizes: Sequence[int]
) -> tuple[int, ...]:
    """Return the last size and those that agree with it, or nothing if the last one fails."""
    full = sizes[-1]
    # TorchScript optimises a function during its first calls.
    for _ in range(2):
        expected = function(*(_filled(each[:full], full) for each in rows))

    def agrees(size: int, positions: dict[int, int]) -> bool:
        """Compute a unit with rows at the given positions; compare with the expected rows."""
        unit = tuple(each.new_zeros(size, *each.shape[1:]) for each in rows)
        for position, row in positions.items():
            for filled, each in zip(unit, rows, strict=True):
                filled[position] = each[row]
        found = function(*unit)
        return all(
            torch.equal(result[position], wanted[row])
            for result, wanted in zip(found, expected, strict=True)
            for position, row in positions.items()
        )

    # Each row at another position than before, and one row alone at the first and last position.
    # Small rows may agree by chance: they are tried at every position.
    few = max(result[0].numel() for result in expected) < _FEW
    turns = range(1, full) if few else (1, full // 2)

    def holds(size: int) -> bool:
        return all(
            agrees(size, {place: (place + turn) % full for place in range(size)}) for turn in turns
        ) and all(agrees(size, {place: full // 2}) for place in {0, size - 1})

    if not holds(full):
        return ()
    return tuple(size for size in sizes if size == full or holds(size))


def random_rows(
    *shapes: tuple[int, ...], scale: float = 1.0
) -> Callable[[int], tuple[Tensor, ...]]:
    """Return a generator of examples for `Units`: constant numbers of rising magnitude.

    Parameters
    ----------
    *shapes : tuple of int
        Shape of one row of each argument.
    scale : float > 0
        Upper bound. The first rows have small numbers, which do not saturate a sigmoid.
    """

    def make(count: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(count)
        rising = torch.linspace(scale / count, scale, count)
        return tuple(
            torch.rand(count, *shape, generator=generator) * rising.view(-1, *[1] * len(shape))
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


def _filled(rows: Tensor, size: int) -> Tensor:
    """Return a copy in new memory, zero-padded to `size` rows."""
    unit = rows.new_empty(size, *rows.shape[1:])
    unit[: len(rows)].copy_(rows)
    unit[len(rows) :].zero_()
    return unit


def _in_mode_of_caller(
    function: Callable[..., tuple[Tensor, ...]],
) -> Callable[..., tuple[Tensor, ...]]:
    """Run the function in the modes of the calling thread: torch's modes are per thread."""
    inference, grad = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def run(*unit: Tensor) -> tuple[Tensor, ...]:
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            return function(*unit)

    return run
