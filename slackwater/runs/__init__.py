"""The run reconciler: joins Prefect's runs, their processes or pods, and the ledger's leases, and says what is dead."""
