"""Deployable flows: when, and in what order."""
