"""Where rows live: transactions, idempotency, group commit, audit, approvals and paging."""
