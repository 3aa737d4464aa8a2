"""The way to DHIS2: values of the weekly and monthly marts as data value sets, in a file or sent to a server."""
