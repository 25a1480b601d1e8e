"""Compares the speed layer with the warehouse at the published frontier."""
