"""The no-Docker emulator: ministack, an embedded Postgres, an Open-Meteo stand-in, and the command `ikirere`."""
