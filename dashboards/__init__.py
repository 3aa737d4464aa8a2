"""The dashboards: SQL questions, the Metabase dashboards and the HTML report."""
