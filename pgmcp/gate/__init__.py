"""What may run: PostgreSQL's own grammar and analysis of a statement, judged before it runs.

Where to begin, and what belongs together:

- a call: `port` (what a tool sees), `databases`, `database`, `transaction`, `state`;
- the verdict: `judge` makes a `verdict`; it asks `trees` and `bodies` for node trees, and
  `objections` whether they may run. What a tree says is decided in the room `judging`;
- what PostgreSQL's catalogue is asked: `function_calls` and `lookups`, `credentials`;
- the database's role: `roles`; and for -check `inspection`.
"""
