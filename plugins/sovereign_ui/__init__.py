"""The pages that Airflow shows under Sovereign: `app.py` serves what `pages/` reads from the ledger."""
