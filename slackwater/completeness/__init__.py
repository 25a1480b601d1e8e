"""The completeness clock: is a day of events wholly in the marts, and if not, what is missing?"""
