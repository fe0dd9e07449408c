"""A job: all files of a plan done on a cluster, and told of in the manifest as they are."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from evc.catalogue.cluster import Cluster
from evc.catalogue.manifest import DONE, Known, Manifest, Record
from evc.catalogue.plan import Plan, Queue, seconds_of
from evc.catalogue.tasks import Item, Result, Work, set_aside
from evc.format.errors import EvcError, OutputError

_FLUSH_SECONDS, _FLUSH_ROWS = 5.0, 2000
_STRIKES, _MOST_LOSSES = 2, 8  # workers that a file may cost, and that may die while it waits there
_TRIES = 3  # of a file that cannot be written or fetched, where others can
_FIRST_PAUSE, _LONGEST_PAUSE, _MOST_PAUSES = 0.5, 60.0, 30
_SAMPLE = 12  # files that an estimate is made from
_KILLED = "killed the worker that worked on it, twice: perhaps there is too little memory"


@dataclass
class Totals:
    """How far a job is. `sound` and `worked` in seconds, `left` in seconds of work; `skipped` files were done by
    another job meanwhile."""

    files: int = 0
    kept: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    sound: float = 0.0
    worked: float = 0.0
    bytes_before: int = 0
    bytes_after: int = 0
    left: float = 0.0
    threads: int = 0
    elapsed: float = 0.0
    lost_workers: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def speed(self) -> float:
        """In multiples of real time."""
        return self.sound / self.elapsed if self.elapsed else 0.0


See = Callable[[Totals, Record | None], None]  # called with the row of every file, and now and then with None


class Job:
    """`work` on the files of a `plan`. With a manifest, rows go there; `see` is called as the job gets on."""

    def __init__(self, work: Work, plan: Plan, manifest: Manifest | None = None, see: See | None = None) -> None:
        self._work, self._manifest, self._see = work, manifest, see
        self._queue = Queue(plan.todo, work.job)
        self._queue.skip = self._is_done_elsewhere
        self._elsewhere: dict[str, Known] = {}
        self._rows: list[Record] = []
        self._flushed = time.monotonic()
        self._strikes: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._tries: Counter[str] = Counter()
        self._tried: dict[str, int] = {}  # how many files were done when one was tried last
        self._pauses = 0
        self.totals = Totals(files=len(plan.todo) + plan.kept, kept=plan.kept)

    def run(self, cluster: Cluster) -> Totals:
        """Do all. However this ends, the manifest tells what was done. Raises EvcError where it cannot go on."""
        begun = time.monotonic()
        if self._manifest is not None and len(self._queue):
            self._manifest.open_workshop()
        try:
            for items, results in cluster.run(self._work, self._queue):
                self.totals.elapsed, self.totals.threads = time.monotonic() - begun, cluster.threads
                self._take(items, results)
        except BaseException:
            for items, results in cluster.end(self._work.job):
                self._take(items, results or [])
            raise
        finally:
            if self._manifest is not None:
                self._flush(last=True)
                self._manifest.put_together()
                self._manifest.close_workshop()
        self.totals.elapsed = time.monotonic() - begun
        return self.totals

    def _take(self, items: Sequence[Item], results: list[Result] | None) -> None:
        if results is None:
            self._lost(items)
        else:
            again = [(item, result) for item, result in zip(items, results) if not self._settled(item, result)]
            for item in items[len(results) :]:  # a task that was stopped
                self._queue.put_back(item)
            if again:
                self._pause(*again[0])
            elif results:
                self._pauses = 0
        self.totals.left, self.totals.skipped = self._queue.seconds, self._queue.skipped
        if self._see is not None:
            self._see(self.totals, None)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS or len(self._rows) >= _FLUSH_ROWS:
            self._flush()

    def _settled(self, item: Item, result: Result) -> bool:
        """Take note of how a file went, unless it is to be tried again."""
        if result.again:
            if self._tried.get(item.output) != self.totals.done:  # where nothing succeeds, it is not the file
                self._tries[item.output] += 1
                self._tried[item.output] = self.totals.done
            if self._tries[item.output] < _TRIES:
                self._queue.put_back(item)
                return False
        self._queue.learn(item, result.record)
        self._note(result.record)
        return True

    def _lost(self, items: Sequence[Item]) -> None:
        """The worker of a task has died. The file that it was at is tried again, alone; where nobody knows which that
        was, all are."""
        self.totals.lost_workers += 1
        for item in items:
            struck = not self._work.marks or os.path.exists(self._work.mark(item))
            self._strikes[item.output] += struck
            self._losses[item.output] += 1
            if self._strikes[item.output] < _STRIKES and self._losses[item.output] < _MOST_LOSSES:
                self._queue.put_back(item, alone=struck)
            else:
                self._note(set_aside(self._work, item, _KILLED))
            if self._work.marks:
                with suppress(OSError):
                    os.unlink(self._work.mark(item))

    def _pause(self, item: Item, result: Result) -> None:
        """Wait for better times before the next task. Raises OutputError where they do not come."""
        self._pauses += 1
        if self._pauses > _MOST_PAUSES:
            raise OutputError(f"{item.input}: {result.record['error']}; the same command goes on from here")
        self._queue.pause(min(_FIRST_PAUSE * 2 ** (self._pauses - 1), _LONGEST_PAUSE))

    def _note(self, row: Record) -> None:
        totals = self.totals
        totals.worked += row.get("seconds") or 0.0
        if row["status"] == DONE:
            totals.done += 1
            totals.sound += row.get("duration") or 0.0
            totals.bytes_before += row.get("size") or 0
            totals.bytes_after += row.get("bytes") or 0
        else:
            totals.failed += 1
            totals.errors[row["kind"]] += 1
        if self._manifest is not None:
            self._rows.append(row)
        if self._see is not None:
            self._see(totals, row)

    def _flush(self, last: bool = False) -> None:
        """Write rows to the manifest, and read what other jobs wrote. Where there is no room, the next time will do."""
        self._flushed = time.monotonic()
        if self._manifest is None:
            return
        try:
            self._manifest.append(self._rows)
            self._rows = []
            self._manifest.sign_of_life()
            self._elsewhere |= {} if last else self._manifest.news()
        except EvcError:
            if last:
                raise

    def _is_done_elsewhere(self, item: Item) -> bool:
        known = self._elsewhere.get(item.output)
        if known is None or not known.done:
            return False
        return (known.input, known.size, known.stamp, known.settings) == (
            item.input, item.size, item.stamp, item.settings
        )  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """What a job is likely to take: `sound` and `work` in seconds, bytes before and after. `rows` are those of the
    files that were tried."""

    files: int
    kept: int
    sound: float
    work: float
    bytes_before: int
    bytes_after: float
    threads: int
    rows: tuple[Record, ...]


def estimate(work: Work, plan: Plan, cluster: Cluster, see: See | None = None) -> Estimate:
    """Try a few files of a plan, large and small, without keeping what is made of them. Raises EvcError if none of
    them can be done."""
    ordered = sorted(plan.todo, key=lambda item: item.size)
    step = max(1, len(ordered) // _SAMPLE)
    chosen = [item._replace(digest="") for item in ordered[step // 2 :: step]]
    rows: list[Record] = []

    def note(totals: Totals, row: Record | None) -> None:
        if row is not None:
            rows.append(row)
        if see is not None:
            see(totals, row)

    Job(replace(work, trial=True), Plan(chosen, 0), None, note).run(cluster)
    done = [row for row in rows if row["status"] == DONE]
    if plan.todo and not done:
        raise EvcError(f"of {len(rows)} files that were tried none can be done: {rows[0]['error']}")
    per: dict[str, float] = defaultdict(float)  # second of sound, as their sizes let expect
    expected = sum(seconds_of(row["input"], row["size"]) for row in done)
    for name in ("duration", "seconds", "bytes"):
        per[name] = sum(row.get(name) or 0.0 for row in done) / max(expected, 1e-9)
    all_expected = sum(seconds_of(item.input, item.size) for item in plan.todo)
    return Estimate(
        len(plan.todo), plan.kept, all_expected * per["duration"], all_expected * per["seconds"],
        sum(item.size for item in plan.todo), all_expected * per["bytes"], cluster.threads, tuple(rows),
    )  # fmt: skip
