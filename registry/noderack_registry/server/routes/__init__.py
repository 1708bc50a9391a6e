"""The routes, a file for each subject. `ALL` is the table that the app is built from."""

from noderack_registry.server.routes import (
    accounts,
    admin,
    changes,
    channel,
    comfy,
    files,
    health,
    lifecycle,
    models,
    node_types,
    packs,
    search,
    simple,
    upload,
)

ALL = (
    health.router,
    simple.router,
    files.router,
    upload.router,
    packs.router,
    node_types.router,
    models.router,
    search.router,
    changes.router,
    lifecycle.router,
    accounts.router,
    admin.router,
    comfy.router,
    channel.router,
)
