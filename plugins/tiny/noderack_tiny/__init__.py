"""The tiny SD 1.5-shaped model that really draws: its pictures, its training, its checker."""
