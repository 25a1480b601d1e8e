"""The four entities, declared once, and what is derived from them."""
