"""A lost ledger rebuilt from what lake, landing bucket and warehouse prove; and the refusal to work on over one."""
