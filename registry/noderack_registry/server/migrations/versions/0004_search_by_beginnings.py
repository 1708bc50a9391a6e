"""The index of the search box anew: every beginning of a word has a list, and a kind is a word."""

from alembic import op
from noderack_registry.server import search

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the index from the documents that are there."""
    search.remake_index(op.get_bind())
