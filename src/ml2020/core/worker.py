"""One process that trains the run of a folder, and reads nothing else: python -m ml2020.core.worker FOLDER."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path


def main() -> int:
    """Gives the exit status."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    return carry_out_in(Path(sys.argv[1]))


def carry_out_in(folder: Path) -> int:
    """Train the run of a folder; gives the exit status. The last line on standard error is the sentence of what went wrong."""
    from ml2020.core.errors import UserError
    from ml2020.core.run import carry_out

    try:
        carry_out(folder)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:  # stopped by a signal, after a checkpoint
        return end.code
    except Exception as error:
        import traceback

        if os.environ.get("ML2020_TRACE"):
            traceback.print_exc()
        first = str(error).strip().splitlines() or ["no message"]
        print(f"{type(error).__name__}: {first[0]} (trace=true shows where)", file=sys.stderr)
        return 1
    return 0


def _end_with_the_parent() -> None:
    """The parent holds the other end of standard input: when it is gone, however it ended, so are we."""
    while os.read(0, 4096):
        pass
    os._exit(137)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(status)  # a rank that failed must not wait for the others in torch.distributed's clean-up
