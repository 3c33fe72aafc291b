"""What a statement would call, read and compute, decided from its text and PostgreSQL's node trees.

Pure: text and node trees in, values out. The room `gate` asks PostgreSQL and decides with these.

- node trees: `nodes` reads them, `columns` and `column_sources` find what their columns are,
  `origins` where a call stands, `table_expressions` the calls that are kept with a table,
  `inlining` puts functions in SQL in the place of their calls;
- what may be called and read: `effects`, `statistics`;
- how large and how long: `expansion` (the text), `unfolding` (the planned statement), `growth` with
  `sizes`, `function_sizes`, `steps`, `constants` and `xpath` (its values).
"""
