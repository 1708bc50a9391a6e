"""The host as a server: queue, routes, sockets. On aiohttp, as existing packs register aiohttp routes."""
