"""What may run: PostgreSQL's own grammar and analysis of a statement, judged before it runs.

Where to begin, and what belongs together:

- a call: `port` (what a tool sees), `databases`, `database`, `transaction`, `state`;
- the verdict: `judge`, which asks `trees` and `bodies` for node trees (`nodes`), and `objections`
  whether they may run;
- what is called and read: `effects`, `calls`, `lookups`, `origins`, `columns`, `column_sources`,
  `credentials`, `statistics`, `table_expressions`, `inlining`;
- how large and how long: `expansion` (the text), `unfolding` (the planned statement), `growth` with
  `sizes`, `function_sizes`, `steps`, `constants` and `xpath` (its values);
- the role: `role`, `power_queries`, `reader_role`, `safe_role`, and for -check `inspection`.
"""
