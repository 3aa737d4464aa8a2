"""Starts LocalStack, which runs each function in a container of an image that is on this machine."""

from localstack.runtime.main import main
from localstack.services.lambda_.invocation import docker_runtime_executor

# It would pull the image again, which fails where no image can be pulled; the test checks that the image is present.
docker_runtime_executor._ensure_runtime_image_present = lambda image, platform: None

if __name__ == "__main__":
    main()
