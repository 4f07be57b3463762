"""Gatewise."""
