"""All benchmarks, one after another, each in a process of its own.

    python -m tests.benches                       # each as the README's table names it: hours
    python -m tests.benches publish report        # these alone
    python -m tests.benches --smoke               # each on little: does it still work?

Ends with 1 if any of them failed; what each prints is shown as it comes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
# Of each benchmark what the README's figures were taken with, and the least that goes all its way.
# `{folder}` is kept between the runs of one command.
BENCHES: dict[str, tuple[str, str]] = {
    "steady_state": ("1000000 {folder} 3", "3000 {folder} 1"),
    "market_day": ("10000000 {folder}", "3000 {folder} 1"),
    "publish": ("", "2000"),
    "marts_build": ("", "2000 500"),
    "executors": ("4000000 {folder}", "2000 {folder}"),
    "extract": ("100000 3", "1000 1"),
    "sandbox_simulate": ("", "2000"),
    "sandbox_serve": ("", ""),
    "histogram_quantile": ("", "1000"),
    "report": ("", "2000"),
    "explore": ("", "2000 1 fills"),
    "watch": ("", "--hours 0.05"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--smoke", action="store_true")
    asked = parser.parse_args()
    if unknown := set(asked.names) - BENCHES.keys():
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="rfq-benches-") as folder:
        failed = [
            name
            for name in asked.names or BENCHES
            if not _succeeds(name, BENCHES[name][asked.smoke].format(folder=folder))
        ]
    if failed:
        sys.stdout.write(f"failed: {', '.join(failed)}\n")
    return bool(failed)


def _succeeds(name: str, arguments: str) -> bool:
    began_s = time.monotonic()
    sys.stdout.write(f"\n{name} {arguments}\n")
    sys.stdout.flush()
    done = subprocess.run([sys.executable, HERE / f"{name}.py", *arguments.split()], check=False)
    took_s = time.monotonic() - began_s
    sys.stdout.write(f"{name}: ended with {done.returncode} after {took_s:.0f} s\n")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
