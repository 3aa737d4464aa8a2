"""The Open-Meteo stand-in: recorded and synthetic weather behind the real API's contract."""
