"""The names of the components' images."""

from mulgil import __version__


def image_of(component: str) -> str:
    """Return the image of a component, such as `mulgil/ingest-data:0.1.0` for `ingest_data`."""
    return f"mulgil/{component.replace('_', '-')}:{__version__}"
