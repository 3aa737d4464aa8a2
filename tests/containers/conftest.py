"""Prints at the end of the test run which images ran, so that a result cannot be read as that of others."""

from images import PROPERTY


def pytest_terminal_summary(terminalreporter):
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    lines = {
        value: None
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY
    }  # fmt: skip
    if lines:
        terminalreporter.section("images")
        for line in lines:
            terminalreporter.line(line)
