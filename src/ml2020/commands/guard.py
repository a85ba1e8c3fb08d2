"""What every command shares: a mistake is one sentence, and the exit status says whose it was."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from ml2020.core.errors import UserError


def guarded(work: Callable[[], None], trace: bool = False) -> int:
    """Run `work` and word what ends it: 0, 2 for what was typed, 1 for all else, 128 + n after signal n."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra raises instead of printing, and the error is worded here
    try:
        work()
    except UserError as error:
        if trace:
            traceback.print_exc()
        print(" ".join(str(error).split("\n")), file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        if trace:
            traceback.print_exc()
        first = str(error).strip().splitlines() or ["no message"]
        print(f"{type(error).__name__}: {first[0]} (trace=true shows where)", file=sys.stderr)
        return 1
    return 0
