"""Compare results/ with what the present config and code would make.

    .venv/bin/python workflow_scripts/audit.py --profile slurm

Call it with the arguments of the snakemake command that made the results (--profile, --configfile, --config); without
any, config.yaml counts. Every file is read once. The exit code is 0 if every result is current and 1 if not; foreign
files and differing versions are shown and do not change it.
"""

import argparse
import sys
import time

import job_graph
from sonolens.jobs import provenance
from sonolens.overview import audit_text
from sonolens.overview.audit import audit


def main() -> int:
    """Audit, print, and say by the exit code whether all is current."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--each", action="store_true", help="a line for every result that is not current")
    parser.add_argument("--targets", action="store_true", help="print only what snakemake --forcerun needs")
    own, arguments = parser.parse_known_args()
    found = audit(job_graph.of_command(arguments))
    if own.targets:
        print("\n".join(audit_text.targets(found)))
    else:
        print(audit_text.describe(found, provenance.versions(), arguments, time.time(), own.each))
    return 0 if found.is_current else 1


if __name__ == "__main__":
    sys.exit(main())
