"""The HTML report of the mart."""
