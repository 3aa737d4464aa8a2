"""Programs that the emulator starts as servers."""
