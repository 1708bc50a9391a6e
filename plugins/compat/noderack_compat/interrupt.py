"""The flag that packs raise to stop the prompt that runs."""

from threading import Event

FLAG = Event()
