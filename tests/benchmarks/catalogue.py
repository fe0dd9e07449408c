"""Measures `evc catalogue`: what it costs beside `evc encode`, how it begins again, how it survives, how it grows.

    python tests/benchmarks/catalogue.py overhead CORPUS [--files 300] [--seconds 5] [--options="--patterns off"]
    python tests/benchmarks/catalogue.py breakage
    python tests/benchmarks/catalogue.py resume [--rows 1000000]
    python tests/benchmarks/catalogue.py tasks [--count 100000]
    python tests/benchmarks/catalogue.py simulate FOLDER --scheduler-ms X [--mean SECONDS]
    python tests/benchmarks/catalogue.py readers ENCODED
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
EVC = [sys.executable, "-m", "evc.cli.main"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("overhead")
    one.add_argument("corpus", type=Path)
    one.add_argument("--files", type=int, default=300)
    one.add_argument("--seconds", type=float, default=5.0)
    one.add_argument("--rounds", type=int, default=1)
    one.add_argument("--options", type=shlex.split, default=[], help="of the encoder, in one argument")
    commands.add_parser("breakage")
    commands.add_parser("resume").add_argument("--rows", type=int, default=1_000_000)
    commands.add_parser("tasks").add_argument("--count", type=int, default=100_000)
    one = commands.add_parser("simulate")
    one.add_argument("folder", type=Path)
    one.add_argument("--scheduler-ms", type=float, required=True)
    one.add_argument("--mean", type=float, help="seconds of the files' mean, where a busy machine recorded others")
    commands.add_parser("readers").add_argument("encoded", type=Path)
    given = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="evc-catalogue-") as folder:
        command = globals()[given.pop("command")]
        command(Path(folder), **given)


def overhead(folder: Path, corpus: Path, files: int, seconds: float, rounds: int, options: list[str]) -> None:
    """The same files by `evc encode` with two jobs, and by a catalogue job with two workers and with one, in turn."""
    excerpts(corpus, folder / "music", files, seconds)
    ways = {
        "encode --jobs 2": ["encode", "music", "--recursive", "--out-dir", "out", "--jobs", "2", "--quiet"],
        "catalogue, 2 workers": ["catalogue", "encode", "music", "--out", "out", "--workers", "2", "--quiet"],
        "catalogue, 1 worker": ["catalogue", "encode", "music", "--out", "out", "--workers", "1", "--quiet"],
    }
    digests = set()
    for number, (name, arguments) in itertools.product(range(rounds), ways.items()):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run([*EVC, *arguments, *options], cwd=folder, check=True)
        wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        outputs = sorted((folder / "out").rglob("*.evc"))
        digests.add(hash(tuple(path.read_bytes() for path in outputs)))
        print(f"{number} {name:22} {wall:8.1f} s wall {cpu:8.1f} s of CPU {len(outputs)} files", flush=True)
        if name != "catalogue, 2 workers" or number + 1 < rounds:
            shutil.rmtree(folder / "out")
            continue
        shutil.copytree(folder / "out/manifest.parquet", "manifest.parquet", dirs_exist_ok=True)  # for `simulate`
        shutil.rmtree(folder / "out")
    print("all outputs are the same, byte for byte" if len(digests) == 1 else "OUTPUTS DIFFER")


def excerpts(corpus: Path, folder: Path, files: int, seconds: float) -> None:
    """So many pieces of the corpus's files, as WAV: first one of each, then a second of each, and again from the start
    where there are no more."""
    import soundfile

    sources = [path for path in sorted(corpus.rglob("*")) if path.suffix in (".flac", ".wav")]
    for number in range(files):
        part, source = number // len(sources), sources[number % len(sources)]
        with soundfile.SoundFile(source) as file:
            length = round(seconds * file.samplerate)
            file.seek(part * length % max(file.frames - length, 1))
            target = folder / source.stem / f"{part:03}.wav"
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, file.read(length), file.samplerate)


def breakage(folder: Path) -> None:
    """The test of the suite, with 300 files."""
    import pytest
    import test_catalogue_breakage

    test_catalogue_breakage.GOOD = 295
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", str(Path(test_catalogue_breakage.__file__))]))


def resume(folder: Path, rows: int) -> None:
    """A job with nothing to do: its files are there, empty, and a manifest tells of all of them."""
    from evc.catalogue.manifest import Manifest
    from evc.catalogue.places import place
    from evc.catalogue.works import settings_text

    settings, records = settings_text({}), []
    manifest = Manifest(place(str(folder / "out")))
    for number in range(rows):
        name = f"{number // 1000:04}/{number:07}"
        source, output = folder / "music" / f"{name}.wav", folder / "out" / f"{name}.evc"
        if number % 1000 == 0:
            source.parent.mkdir(parents=True)
            output.parent.mkdir(parents=True)
        source.touch()
        output.touch()
        records.append({
            "input": str(source), "output": f"{name}.evc", "size": 0, "stamp": str(source.stat().st_mtime_ns),
            "settings": settings, "status": "done", "digest": f"{number:064x}", "output_digest": f"{number:064x}",
            "duration": 180.0, "bytes": 1_000_000, "kbps": 44.4, "seconds": 30.0, "finished": time.time(),
            "worker": "host:1234", "job": manifest.job, "version": "0.1.0", "genre": "none", "kbps_spectrum": 44.0,
        })  # fmt: skip
        if len(records) == 25_000:
            manifest.append(records)
            records = []
    manifest.append(records)
    for command in (["encode", "music", "--out", "out"], ["stats", "out", "--json", "--quiet"]):
        begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*EVC, "catalogue", *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        wall, used = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        print(f"{command[0]}, {rows} rows: {wall:.1f} s wall, {cpu:.1f} s of CPU, {used.ru_maxrss >> 10} MiB at most")


def tasks(folder: Path, count: int) -> None:
    """Empty tasks: handed out at once by Dask alone, and by the loop of a catalogue job."""
    from evc.catalogue.cluster import Cluster
    from evc.catalogue.places import place
    from evc.catalogue.plan import Queue
    from evc.catalogue.tasks import Item
    from evc.catalogue.works import Nothing

    with Cluster(workers=2) as cluster:
        client = cluster._client
        begun = time.monotonic()
        for first in range(0, count, 5000):
            client.gather(client.map(_nothing, range(first, min(first + 5000, count)), pure=False))
        each = (time.monotonic() - begun) / count
        print(f"Dask alone: {1000 * each:.3f} ms a task on two workers, {count} tasks in lots of 5000", flush=True)
        some = count // 20
        queue = Queue([Item(str(number), str(number), 10**9, "", "") for number in range(some)], "job")
        begun = time.monotonic()
        done = sum(len(items) for items, _ in cluster.run(Nothing(place("."), "job", ""), queue))
        each = (time.monotonic() - begun) / done
        print(f"a catalogue job: {1000 * each:.3f} ms a task on two workers, {done} tasks one by one")


def _nothing(number: int) -> None:
    return None


def simulate(_: Path, folder: Path, scheduler_ms: float, mean: float | None) -> None:
    """How long a job takes on so many workers: files with the costs that a manifest tells of, drawn at random, in tasks
    as a job makes them; whoever hands out tasks does one after the other, each in so many ms."""
    import numpy as np

    from evc.catalogue.manifest import Manifest
    from evc.catalogue.places import place
    from evc.catalogue.plan import Queue
    from evc.catalogue.tasks import Item

    rows = Manifest(place(str(folder))).table()
    rows = rows[rows["status"] == "done"]
    costs, sizes = rows["seconds"].to_numpy(float), rows["size"].to_numpy(int)
    costs = costs * (1.0 if mean is None else mean / costs.mean())
    print("| files | workers | wall | ideal | efficiency | tasks |\n|---|---|---|---|---|---|")
    for files, workers in itertools.product((1000, 10_000, 100_000, 1_000_000), (1, 2, 10, 100, 1000)):
        if files // workers < 10 or files // workers > 100_000:
            continue
        random = np.random.default_rng(files)
        # Tracks are longer than the excerpts that were measured: 36 times, 3 minutes for 5 s, with a spread.
        scale = random.lognormal(np.log(36), 0.5, files)
        drawn = random.integers(len(costs), size=files)
        drawn_sizes = (sizes[drawn] * scale).astype(int).tolist()
        items = [Item(f"{number}.wav", "", size, "", "") for number, size in enumerate(drawn_sizes)]
        cost = costs[drawn] * scale
        queue = Queue(items, "job")
        wall, count = _simulated(queue, cost, workers, scheduler_ms / 1000)
        ideal = cost.sum() / workers
        text = f"{wall / 3600:.2f} h" if wall > 3600 else f"{wall:.0f} s"
        best = f"{ideal / 3600:.2f} h" if ideal > 3600 else f"{ideal:.0f} s"
        print(f"| {files} | {workers} | {text} | {best} | {100 * ideal / wall:.1f} % | {count} |", flush=True)


def _simulated(queue: Any, costs: Any, workers: int, overhead: float) -> tuple[float, int]:
    free, count, handing = [0.0] * workers, 0, 0.0
    end = 0.0
    while len(queue):
        items = queue.take(workers)
        at = heapq.heappop(free)
        handing = max(handing, at) + overhead  # one after the other
        done = handing + sum(costs[int(item.input[:-4])] for item in items)
        for item in items:
            queue.learn(item, {"status": "done", "seconds": costs[int(item.input[:-4])]})
        heapq.heappush(free, done)
        end, count = max(end, done), count + 1
    return end, count


def readers(_: Path, encoded: Path) -> None:
    """Random stretches of a second from EvcDataset on one core, and one use of Ray."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    from evc.torch import EvcDataset

    for coverage in (1, 2, 4, 8):
        begun, used = time.monotonic(), time.process_time()
        count = sum(1 for _ in EvcDataset(encoded, 1.0, seed=1, coverage=coverage))
        wall, cpu = time.monotonic() - begun, time.process_time() - used
        print(f"coverage {coverage}: {count / wall:.0f} a second, {count / cpu:.0f} a second of CPU", flush=True)
    from evc.ray import read_evc

    begun = time.monotonic()
    count = read_evc(str(encoded), seconds=1).count()
    print(f"Ray: {count} stretches in {time.monotonic() - begun:.1f} s with its start")


if __name__ == "__main__":
    main()
