"""Patients; their FileMaker id is in `notes` or in `filemaker_metadata`."""

import uuid

from django.db import models


class Patient(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    notes = models.TextField(blank=True)
    filemaker_metadata = models.JSONField(null=True, blank=True)

    class Meta:
        db_table = "patients"
