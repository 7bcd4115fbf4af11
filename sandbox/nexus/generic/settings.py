"""An application whose batches refer to their patient by a generic foreign key."""

from sandbox.nexus.settings import DATABASES, TIME_ZONE, USE_TZ

__all__ = ["DATABASES", "INSTALLED_APPS", "TIME_ZONE", "USE_TZ"]

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "sandbox.nexus.generic.patients",
    "sandbox.nexus.generic.images",
]
