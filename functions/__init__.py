"""The three Lambda functions of the pipeline and the core that each of their packages ships."""
