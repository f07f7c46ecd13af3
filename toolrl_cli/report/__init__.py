"""Tables, statistics, published numbers and curves from the results on disk.

Enter through `toolrl_cli.report.api.build_report`. Importing this package loads nothing.
"""
