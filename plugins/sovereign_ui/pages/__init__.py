"""One module a page: from config and ledger to plain data for its template."""
