"""What every job does first: its log, its threads."""

import os
import sys
from types import TracebackType


def log_to(path: str) -> None:
    """Send what this process prints, tracebacks and progress bars included, to `path`, line by line.

    The file descriptors are redirected, not only Python's objects, so that libraries' own messages land there too.
    Of an error, its message and the log's path go to where stderr led before, the screen or the cluster's own log.
    """
    screen = os.fdopen(os.dup(2), "w")
    log = open(path, "w", buffering=1)  # noqa: SIM115, PTH123 (open until the process ends)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = log

    def say_on_both(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        print(f"\n{kind.__name__}: {error}\n(traceback in {path})", file=screen, flush=True)

    sys.excepthook = say_on_both


def use_threads(n_threads: int) -> None:
    """Bound every thread pool of this process to `n_threads`.

    Sums of floats depend on how they are split, so a fixed thread count is also what makes a rerun bit-identical.
    Pools that start later (OpenMP, numba) read the environment; those that run are told directly.
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = str(n_threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n_threads)
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(n_threads)
