"""The local services without Docker: ministack, Postgres, the Open-Meteo stand-in, with the template deployed."""
