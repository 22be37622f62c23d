"""The campaigns of `scripts/campaign.py`, in slices of some seconds: each is told where it begins, and says where to go on."""

import random
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import api_calls
import crash_points
import fuzz
import hindrances as hindrances_of_programs
import hostile_environments
import random_kills
from fuzz_formats import formats
from half_written import half_written
from interrupted_programs import EXPERIMENT, START_UP, End, faults, run_and_signal

FLIPS, FILES, CALLS, PROGRAMS = 500, 5000, 10_000, 5
POINTS = {"train": 10, "pruning": 20, "ablate": 20, "compare": 20, "paper": 20, "workers": 4}  # some tens of seconds each
TRIES, ENVIRONMENTS = 5, 3
SLOWEST = 30  # seconds that a program may take to end after a signal

COMMANDS = {
    "train": ("train", "tiny.toml", "--out", "here"),
    "compare": ("compare", "tiny.toml", "--nulls", "2", "--out", "all"),
    "analyze": ("analyze", "t.npz", "--nulls", "200", "--json", "r.json", "--html", "r.html"),
    "generate": ("generate", "erdos_renyi", "300", "200", "--density", "0.1", "--out", "new.npz", "--plot", "new.png"),
    "evolve": ("evolve", "run", "--nulls", "20", "--json", "r.json", "--html", "r.html"),
}


class Slice(NamedTuple):
    """What a slice has tried, what went wrong, and where the next slice begins."""

    tried: int
    problems: list[str]
    following: Any


def kills(first: str) -> Slice:
    """Kill a scenario before some of its changes of files and compare what it ends with; `first` is such as "train 11"."""
    scenario, point = first.split()[0], int(first.split()[1])
    following = point + POINTS[scenario]
    with tempfile.TemporaryDirectory() as folder:
        limits = ("1", str(point), str(following - 1))
        program = [sys.executable, crash_points.__file__, scenario, folder, *limits]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
    summary = re.search(r"^(\d+) of (\d+) points: ", done.stdout, flags=re.MULTILINE)
    if summary is None:
        return Slice(0, [f"{first}: exit code {done.returncode}: {done.stderr[-300:]}"], first)
    problems = [f"{scenario}, {line}" for line in done.stdout.splitlines() if line.startswith("point ")]
    names = list(crash_points.SCENARIOS)
    if following > int(summary[2]):
        return Slice(int(summary[1]), problems, f"{names[(names.index(scenario) + 1) % len(names)]} 1")
    return Slice(int(summary[1]), problems, f"{scenario} {following}")


def kills_at_random(seed: int) -> Slice:
    """Kill a program at random moments, several times, and compare what it ends with; kills that hit it are counted."""
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, random_kills.__file__, str(seed), folder]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
    summary = re.search(r"^(\d+) kills of ", done.stdout, flags=re.MULTILINE)
    if summary is None:
        return Slice(0, [f"seed {seed}: exit code {done.returncode}: {done.stderr[-300:]}"], seed + 1)
    return Slice(int(summary[1]), [line for line in done.stdout.splitlines() if line.startswith("try ")], seed + 1)


def flips(seed: int) -> Slice:
    """Flip single bits, each at random in a sound file; all of them must be refused by the function that loads such files."""
    from netsci_nn.errors import CheckpointError
    from netsci_nn.topology import load_network, load_topology

    draw, problems = random.Random(f"flips {seed}"), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        kinds = formats(folder, "checkpoint", "safetensors", "npz").values()
        forms = {form.name: form for kind in kinds for form in kind}
        load: dict[str, Callable[[Path], object]] = {
            "last.safetensors": forms["last.safetensors"].read,
            "topology.safetensors": load_topology,
            "ours.npz": load_topology,
            "network.safetensors": load_network,
        }
        for name, read in load.items():
            path = folder / name
            forms[name].write(path)
            read(path)  # it is sound
            whole = path.read_bytes()
            for bit in draw.sample(range(8 * len(whole)), FLIPS // len(load)):
                flipped = bytearray(whole)
                flipped[bit // 8] ^= 1 << bit % 8
                path.write_bytes(flipped)
                try:
                    read(path)
                except CheckpointError:
                    continue
                except Exception as error:
                    problems.append(f"bit {bit} of {name}, seed {seed}: {type(error).__name__}: {error}")
                else:
                    problems.append(f"bit {bit} of {name}, seed {seed}: was read")
    return Slice(FLIPS, problems, seed + 1)


def files(seed: int) -> Slice:
    """Read damaged files of all formats, in processes with limits."""
    outcomes = list(fuzz.run(fuzz.ALL, seed, FILES))
    problems = [
        f"file {number}, seed {seed}, {end.name}: {end.kind}: {end.detail}"
        for number, end in enumerate(outcomes)
        if end.is_failure
    ]
    return Slice(len(outcomes), problems, seed + 1)


def calls(seed: int) -> Slice:
    """Call public functions, legally and illegally, in processes with limits."""
    area = list(api_calls.AREAS)[seed % len(api_calls.AREAS)]
    ends = list(api_calls.run(area, seed, CALLS))
    problems = [f"{area} {seed} {number}: {end.kind}: {end.text}" for number, end in enumerate(ends) if end.is_failure]
    return Slice(len(ends), problems, seed + 1)


def interruptions(seed: int) -> Slice:
    """Send signals to programs at random moments; a program that has ended before its signal is not counted."""
    draw, tried, problems = random.Random(f"interruptions {seed}"), 0, []
    for _ in range(PROGRAMS):
        name, number = draw.choice(list(COMMANDS)), draw.choice((signal.SIGINT, signal.SIGTERM))
        after, epochs = draw.uniform(START_UP, 2 if name == "generate" else 6), draw.choice((3, 99999))
        is_group = draw.random() < 0.5
        with tempfile.TemporaryDirectory() as place:
            _prepare(Path(place), epochs)
            command = ("-m", "netsci_nn", *COMMANDS[name])
            end = run_and_signal(command, Path(place), after, number=number, is_group=is_group)
            found = faults(end, number=number) + _half_done(end)
        tried += end.seconds is not None
        problems += [f"{name}, {number.name} after {after:.3f} s, seed {seed}: {fault}" for fault in found]
    return Slice(tried, problems, seed + 1)


def hindrances(seed: int) -> Slice:
    """Hinder programs by a full disk, a system that refuses, or a second process, and resume them."""
    program = [sys.executable, hindrances_of_programs.__file__, str(seed), str(TRIES)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    summary = re.search(r"^(\d+) tries: ", done.stdout, flags=re.MULTILINE)
    if summary is None:
        return Slice(0, [f"{seed}: exit code {done.returncode}: {done.stderr[-300:]}"], seed)
    problems = re.findall(r"^problem: (.*)", done.stdout, flags=re.MULTILINE)
    return Slice(int(summary[1]), [f"{problem}, seed {seed}" for problem in problems], seed + 1)


def environments(first: int) -> Slice:
    """Run installed programs in hostile environments; those for which this machine has no means are not counted."""
    tries, tried, problems = hostile_environments.all_tries(), 0, []
    for name, program in tries[first : first + ENVIRONMENTS]:
        found = hostile_environments.faults(name, program)
        tried += found is not None
        problems += [f"{program}, {name}: {fault}" for fault in found or ()]
    following = first + ENVIRONMENTS
    return Slice(tried, problems, following if following < len(tries) else 0)


def _prepare(folder: Path, epochs: int) -> None:
    """Write what the programs read."""
    from netsci_nn import generators
    from netsci_nn.topology import save_network

    (folder / "tiny.toml").write_text(EXPERIMENT.format(epochs=epochs))
    layers = [generators.erdos_renyi(60, 50, n_edges=600, rng=seed) for seed in (0, 1)]
    layers[0].save(folder / "t.npz")
    (folder / "run" / "topology").mkdir(parents=True)
    for layer, name in zip(layers, ("epoch-0000", "final"), strict=True):
        save_network([layer], folder / "run" / "topology" / f"{name}.safetensors")


def _half_done(end: End) -> list[str]:
    """Files that are not whole, processes that are left, and an end that was long in coming."""
    found = ["a process is left over"] if end.survivors else []
    if end.seconds is not None and end.seconds > SLOWEST:
        found.append(f"ended after {end.seconds:.0f} s")
    return found + half_written(end.files)


CAMPAIGNS: dict[str, tuple[Callable[[Any], Slice], Any]] = {
    "kills": (kills, f"{next(iter(crash_points.SCENARIOS))} 1"),
    "random-kills": (kills_at_random, 0),
    "flips": (flips, 0),
    "files": (files, 0),
    "calls": (calls, 0),
    "interruptions": (interruptions, 0),
    "hindrances": (hindrances, 0),
    "environments": (environments, 0),
}
"""By name: the campaign, and where its first slice begins."""
