"""Many files, on all cores of a machine or on a Dask cluster. Needs the extra `evc[catalogue]`."""
