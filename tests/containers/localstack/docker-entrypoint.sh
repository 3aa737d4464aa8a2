#!/bin/sh
# Has the name of the image's entry point, because docker-compose.yml calls it.
exec /opt/localstack/bin/python /opt/localstack/start.py
