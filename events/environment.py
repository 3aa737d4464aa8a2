"""Prints the variables of the functions deployed to LocalStack, for ``sam local invoke --env-vars``.

``python events/environment.py ENDPOINT``: ENDPOINT is LocalStack's address from within the functions' containers. The
script itself connects to AWS_ENDPOINT_URL (default http://127.0.0.1:4566).
"""

import json
import os
import sys
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from deployment import stack


def main() -> int:
    """Print the variables as JSON; return 0 on success, 2 when nothing is deployed or ENDPOINT is missing."""
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
                # sam prefers the caller's own AWS_ENDPOINT_URL to the template's
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
