"""The settings that all projects share."""

import os
from urllib.parse import unquote, urlsplit

ADDRESS = urlsplit(os.environ["NEXUS_DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": ADDRESS.hostname,
        "PORT": ADDRESS.port,
        "NAME": unquote(ADDRESS.path.removeprefix("/")),
        "USER": unquote(ADDRESS.username or ""),
        "PASSWORD": unquote(ADDRESS.password or ""),
    }
}
TIME_ZONE = "Australia/Sydney"
USE_TZ = True
