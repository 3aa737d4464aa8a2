"""LocalStack's init hook: runs a script, because LocalStack executes a hook without ``__name__`` and ``__file__``."""

import os
import subprocess
import sys

subprocess.run([sys.executable, os.path.join(os.environ["IKIRERE_ROOT"], "localstack", "deploy.py")], check=True)  # noqa: PTH118
