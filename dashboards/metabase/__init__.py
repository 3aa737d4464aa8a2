"""The dashboards in Metabase: their layout, the API client, and the provisioning."""
