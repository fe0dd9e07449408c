"""A whole catalogue: many files, on all cores of a machine or on a Dask cluster. It needs the extra `evc[catalogue]`."""
