"""tools/bench: pgmcp beside other servers, in one session on one machine."""
