"""The HTML report of the warehouse, and the notice above it: which weather the mart holds."""

from pathlib import Path

from dashboards.report.page import write_report
from deployment.errors import StorageError
from emulator.emulator import Emulator


def write(emulator: Emulator, path: Path | None = None) -> Path:
    """Write the report to ``path``, or to its place in the state folder; the path. Raises StorageError, UserError."""
    path = path or emulator.report
    try:
        return write_report(emulator.reading_url(), path, notice=notice(emulator))
    except OSError as error:
        raise StorageError.of(f"report {path}", error) from error


def notice(emulator: Emulator) -> str:
    """Sentences on weather in the mart that is not measured weather of today; empty when all of it is live."""
    settings = emulator.state.settings()
    now = settings.get("weather_now", {"kind": "live", "notice": ""})
    sentences = [] if now["kind"] == "live" else [f"{now['notice'][:1].upper()}{now['notice'][1:]}."]
    earlier = [kind for kind in settings.get("weather_loaded", []) if kind not in (now["kind"], "live")]
    if earlier:
        kinds = " and ".join("weather from elsewhere" if kind == "address" else f"{kind} weather" for kind in earlier)
        sentences.append(f"The mart also holds {kinds} of earlier runs; `ikirere reset` starts afresh.")
    return " ".join(sentences)


def remember_weather(emulator: Emulator) -> None:
    """Store that weather of the kind in use was loaded: ``notice`` names it when another kind is in use later."""
    with emulator.state.lock():
        settings = emulator.state.settings()
        kinds = {settings["weather_now"]["kind"], *settings.get("weather_loaded", [])}
        emulator.state.remember(weather_loaded=sorted(kinds))
