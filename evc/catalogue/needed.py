"""What `evc[catalogue]` brings, and what to say where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from evc.format.errors import EvcError

NEEDED = {"dask": "dask", "distributed": "distributed", "fsspec": "fsspec", "pandas": "pandas", "pyarrow": "pyarrow"}


def check_installed(*modules: str) -> None:
    """Raises EvcError, with what to install, where one of these modules (none: all of NEEDED) is not there."""
    if missing := [NEEDED.get(name, name) for name in modules or NEEDED if find_spec(name) is None]:
        are = "is" if len(missing) == 1 else "are"
        raise EvcError(f"{', '.join(missing)} {are} needed and not installed: pip install 'evc[catalogue]'")
