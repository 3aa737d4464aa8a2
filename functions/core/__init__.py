"""The code that every function package ships: contracts, settings, storage, errors, observability, cities."""
