"""Show how far a workflow is: what is done, runs, waits and failed, and what happened to its jobs.

    .venv/bin/python workflow_scripts/status.py --profile slurm [--watch [SECONDS]] [--all]

Call it with the arguments of the snakemake command (--profile, --configfile, --config), in the same folder, on any
machine that sees it. It only reads files; whether a silent job is over, it asks squeue if that is there.
"""

import argparse
import shutil
import sys
import time

import job_graph
from sonolens.overview import watching_text
from sonolens.overview.watching import Watcher

CLEAR = "\x1b[2J\x1b[H"


def main() -> None:
    """Print once, or again and again until interrupted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--watch", nargs="?", type=float, const=10.0, metavar="SECONDS", help="look again every 10 (SECONDS) seconds"
    )
    parser.add_argument("--all", action="store_true", help="every job and event, not the first and the last ones")
    own, arguments = parser.parse_known_args()
    # What is asked for is worked out once: while the workflow runs, only its files change.
    watcher = Watcher(job_graph.of_command(arguments))
    while True:
        now, width = time.time(), shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
        text = watching_text.describe(watcher.look(now), now, width, own.all)
        if not own.watch:
            print(text)
            return
        print(f"{CLEAR if sys.stdout.isatty() else ''}{time.strftime('%H:%M:%S')}\n{text}", flush=True)
        time.sleep(own.watch)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
