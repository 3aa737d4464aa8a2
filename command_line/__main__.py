"""``python -m command_line``: the same as ``ikirere``."""

import sys

# Before any import of a module that an older Python cannot read.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("ikirere needs Python 3.11 or later; this is %d.%d" % sys.version_info[:2])  # noqa: UP031

from command_line.main import main

sys.exit(main())
