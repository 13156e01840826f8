"""FunctionGate's own version."""

from importlib.metadata import PackageNotFoundError, version


def functiongate_version() -> str:
    """The installed distribution's version, or "0+source" in a checkout that was not installed."""
    try:
        return version("functiongate")
    except PackageNotFoundError:
        return "0+source"
