"""The backfill function: plans a long past window as work items, records how each ended, sums up."""
