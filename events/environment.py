"""The variables of the functions deployed to LocalStack, as ``sam local invoke --env-vars`` reads them.

``python events/environment.py ENDPOINT``: the address of LocalStack as the functions' containers reach it. From here it
is reached at AWS_ENDPOINT_URL (default http://127.0.0.1:4566).
"""

import json
import os
import sys
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from emulator import stack


def main() -> int:
    """Print them as JSON; 0 when done, 2 when nothing is deployed there or no ENDPOINT is given."""
    if len(sys.argv) != 2:
        print("usage: python events/environment.py ENDPOINT", file=sys.stderr)
        return 2
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")

    try:
        client = partial(stack.local_client, endpoint)
        outputs = stack.outputs(client)
        names = {name: outputs[f"{name}Name"] for name in ("IngestFunction", "TransformFunction", "ModelFunction")}
        found = {
            name: {
                **client("lambda").get_function_configuration(FunctionName=function)["Environment"]["Variables"],
                # here too, since sam would take the caller's own before the template's
                "AWS_ENDPOINT_URL": sys.argv[1],
            }
            for name, function in names.items()
        }
    except (KeyError, BotoCoreError, ClientError) as error:
        print(f"{endpoint}: has no stack {stack.STACK} ({error!r}); docker compose up deploys it", file=sys.stderr)
        return 2
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
