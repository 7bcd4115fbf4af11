"""Albums, one per person and day, and their photos; `legacy_record` is FileMaker's record number."""

from django.db import models


class Album(models.Model):
    person = models.ForeignKey("people.Person", on_delete=models.PROTECT, related_name="albums")
    title = models.CharField(max_length=200)
    taken_on = models.DateField()
    source = models.CharField(max_length=50, default="upload")
    photo_count = models.PositiveIntegerField(default=0)
    created = models.DateTimeField(auto_now_add=True)


class Photo(models.Model):
    album = models.ForeignKey(Album, on_delete=models.CASCADE, related_name="photos")
    file = models.FileField(max_length=500)
    name = models.CharField(max_length=255)
    size = models.BigIntegerField()
    view = models.CharField(max_length=100, blank=True)
    legacy_record = models.BigIntegerField(null=True, blank=True)
    created = models.DateTimeField(auto_now_add=True)
