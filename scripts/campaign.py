"""Long tests of what must never happen, whatever is killed, damaged or hindered, in slices until the time is over.

    python scripts/campaign.py --minutes 20     # or --hours 8; resumes where the last line of the log stops
    python scripts/campaign.py --table          # the totals of docs/reliability.md

One line of JSON per slice goes to docs/results/campaign.jsonl. Exit code 1: a problem was found; 130: it was interrupted.
"""

import argparse
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "docs" / "results" / "campaign.jsonl"
# What is tested is the code beside this script, also in the processes that are started, whatever is installed.
PLACES = [str(ROOT), str(ROOT / "tests" / "support")]
SHORT = 300
WHAT = {
    "kills": "kills before a change of a file, resumed",
    "random-kills": "kills at a random moment, resumed",
    "flips": "flipped bits, loaded",
    "files": "damaged files, read",
    "calls": "random calls of public functions",
    "interruptions": "programs that got a signal",
    "hindrances": "programs hindered by a full disk, a refusing system or a second process, resumed",
    "environments": "installed programs in hostile environments",
}

Line = dict[str, Any]
Campaigns = dict[str, tuple[Callable[[Any], tuple[int, list[str], Any]], Any]]


def read_lines(log: Path = LOG) -> list[Line]:
    """Return the slices that are in the log."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def machine() -> Line:
    """Return what the slices ran on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {"cpu": model, "cpus": os.cpu_count()}


def commit() -> str:
    """Return the commit of the code, with a + if the code has changed since; "unknown" outside of a repository."""

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)

    name = git("rev-parse", "--short", "HEAD").stdout.strip()
    is_changed = bool(git("status", "--porcelain", "--", "netsci_nn", "analysis", "scripts", "tests").stdout)
    return name + "+" * is_changed if name else "unknown"


def run(campaigns: Campaigns, log: Path, seconds: float) -> bool:
    """Run slices of the campaigns in turn until the time is over, one line in the log after each; return whether all went well.

    Args:
        campaigns: by name, a function and where its first slice begins. The function is told where a slice begins, and returns
            how much it tried, the problems and where the next slice begins.
        log: a campaign resumes where its last line there stops.
        seconds: no slice begins later.
    """
    from netsci_nn.files import write_text

    is_sound, code, computer, end = True, commit(), machine(), time.monotonic() + seconds
    for name, (one_slice, start) in cycle(campaigns.items()):
        if time.monotonic() >= end:
            return is_sound
        first = next((line["next"] for line in reversed(read_lines(log)) if line["campaign"] == name), start)
        begin = time.monotonic()
        tried, problems, following = one_slice(first)
        line = {
            "campaign": name,
            "first": first,
            "tried": tried,
            "problems": [" ".join(problem.split())[:SHORT] for problem in problems],
            "next": following,
            "seconds": round(time.monotonic() - begin, 1),
            "commit": code,
            "machine": computer,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        before = log.read_text(encoding="utf-8") if log.exists() else ""
        write_text(log, before + json.dumps(line) + "\n")
        print(f"{name} from {first}: {tried} tried, {len(problems)} problems, {line['seconds']} s", flush=True)
        print("".join(f"  {problem}\n" for problem in line["problems"]), end="", flush=True)
        is_sound = is_sound and not problems
    return is_sound


def table(lines: Iterable[Line]) -> str:
    """Return the totals as a Markdown table; commits are those of the code, in the order of their slices."""
    slices = list(lines)
    rows = ["| campaign | tried | problems | hours | commits |", "|---|---|---|---|---|"]
    for name, what in WHAT.items():
        own = [line for line in slices if line["campaign"] == name]
        tried, problems = sum(line["tried"] for line in own), sum(len(line["problems"]) for line in own)
        hours = sum(line["seconds"] for line in own) / 3600
        commits = ", ".join(dict.fromkeys(line["commit"] for line in own))
        rows.append(f"| {name}: {what} | {tried:,} | {problems} | {hours:.2f} | {commits} |")
    return "\n".join(rows)


def duration(text: str) -> float:
    """Return a time of an option."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time; it must be above 0 and finite")
    return number


def main() -> int:
    """Run campaigns, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--hours", type=duration)
    what.add_argument("--minutes", type=duration)
    what.add_argument("--table", action="store_true", help="print the totals of the log")
    parser.add_argument("--only", choices=WHAT, help="one campaign instead of all in turn")
    parser.add_argument("--log", type=Path, default=LOG, help="file of the slices")
    options = parser.parse_args()
    if options.table:
        if not options.log.is_file():
            parser.error(f"file {str(options.log)!r} does not exist; --log must name a log of slices")
        print(table(read_lines(options.log)))
        return 0
    sys.path[:0] = PLACES
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A shell has it ignored in what it starts in the background, and so would be all programs that are started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from netsci_nn.errors import ConfigError
    from netsci_nn.files import try_writing

    try:
        try_writing(options.log)
    except ConfigError as error:
        parser.error(str(error))
    campaigns = importlib.import_module("campaign_slices").CAMPAIGNS
    if options.only:
        campaigns = {options.only: campaigns[options.only]}
    seconds = options.minutes * 60 if options.hours is None else options.hours * 3600
    try:
        is_sound = run(campaigns, options.log, seconds)
    except KeyboardInterrupt:
        print(f"interrupted; the slices that are complete are in {options.log}", file=sys.stderr)
        return 130
    return 0 if is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
