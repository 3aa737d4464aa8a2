"""LocalStack's init hook. LocalStack executes its text without a name or a file, so the work is another script's."""

import os
import subprocess
import sys

subprocess.run([sys.executable, os.path.join(os.environ["IKIRERE_ROOT"], "localstack", "deploy.py")], check=True)  # noqa: PTH118
