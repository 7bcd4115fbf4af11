"""Nexus with the plan's models."""

from sandbox.nexus.settings import DATABASES, TIME_ZONE, USE_TZ

__all__ = ["DATABASES", "INSTALLED_APPS", "TIME_ZONE", "USE_TZ"]

INSTALLED_APPS = ["sandbox.nexus.plan.patients", "sandbox.nexus.plan.images"]
