"""Nexus with other names, and with the primary keys that Django gives by default."""

from sandbox.nexus.settings import DATABASES, TIME_ZONE, USE_TZ

__all__ = ["DATABASES", "DEFAULT_AUTO_FIELD", "INSTALLED_APPS", "TIME_ZONE", "USE_TZ"]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["sandbox.nexus.bigint.people", "sandbox.nexus.bigint.gallery"]
