"""``python -m emulator``: the same as ``ikirere``."""

import sys

# said before anything is imported that an older Python cannot read
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("ikirere needs Python 3.11 or later; this is %d.%d" % sys.version_info[:2])  # noqa: UP031

from emulator.cli import main

sys.exit(main())
