"""The search box: documents, the words that name them, and the index over both."""

import sqlalchemy as sa
from alembic import op
from noderack_registry.server import findable, search

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables of the search box, and fill them from what is there."""
    op.create_table(
        "search_doc",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("pack", sa.String(), nullable=True),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("texts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "ref"),
    )
    op.create_table(
        "search_gram",
        sa.Column("gram", sa.String(), nullable=False),
        sa.Column("word", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("gram", "word"),
        sqlite_with_rowid=False,
    )
    search.create_index(op.get_bind())
    findable.refresh_all(op.get_bind())
