"""What a newcomer runs: `tools/demo`, `tools/check`, `tools/bench`; and the modules they share."""
