"""Patients; their FileMaker id is under a nested key of `imported_from`."""

from django.db import models


class Person(models.Model):
    full_name = models.CharField(max_length=200)
    imported_from = models.JSONField(default=dict, blank=True)
