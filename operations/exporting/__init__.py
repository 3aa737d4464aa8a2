"""Export: tables of the warehouse as files for other programs."""
