"""Items that come in rows: which columns hold what, how rows become items, how a file of them is read in parts."""
