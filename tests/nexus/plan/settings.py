"""Nexus with the plan's models."""

from nexus.settings import DATABASES, TIME_ZONE, USE_TZ

__all__ = ["DATABASES", "INSTALLED_APPS", "TIME_ZONE", "USE_TZ"]

INSTALLED_APPS = ["nexus.plan.patients", "nexus.plan.images"]
