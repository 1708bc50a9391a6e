"""Workflows that name where their node types are from: evidence for types that no pack here claims."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table; `nodes registry learn` fills it."""
    op.create_table(
        "sighting",
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("workflow", sa.String(), nullable=False),
        sa.Column("pack", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("type", "workflow"),
        sqlite_with_rowid=False,
    )
