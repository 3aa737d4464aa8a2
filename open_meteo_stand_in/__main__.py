"""The stand-in as a process: ``python -m open_meteo_stand_in --weather recorded --port 8080``."""

import argparse
import signal
import sys
import threading
from types import FrameType

from open_meteo_stand_in.server import StandIn
from open_meteo_stand_in.weather import SOURCES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m open_meteo_stand_in", description="The Open-Meteo stand-in")
    parser.add_argument("--weather", choices=sorted(SOURCES), default="synthetic")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; in a container 0.0.0.0")
    parser.add_argument("--no-quota", action="store_true", help="do not limit the requests")
    arguments = parser.parse_args()
    stand_in = StandIn(arguments.weather, host=arguments.host, port=arguments.port, quota=not arguments.no_quota)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # in another thread: shutdown() waits for the loop that this signal interrupted
        threading.Thread(target=stand_in.stop).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"{arguments.weather} weather on {stand_in.url}", flush=True)
    stand_in.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
