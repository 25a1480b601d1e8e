import pytest
@pytest.mark.integration
def test_try(sandbox):
    print(sandbox.s3, sandbox.landing)
    for a in ("lake","ledger","shop","clickhouse","warehouse"):
        try: print(getattr(sandbox,a))
        except Exception as e: print(a, "->", repr(e)[:600])
