"""Reports of what stations played, from the history.

`report` makes one, `tables` gives its parts as rows and columns, and each format has a file that
writes it. All times inside are integer milliseconds since 1970, so parts add up exactly.
"""
