"""Image batches and images, as planned."""

import uuid

from django.db import models


class ImageBatch(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    patient = models.ForeignKey("patients.Patient", on_delete=models.PROTECT, related_name="image_batches")
    batch_name = models.CharField(max_length=200)
    captured_date = models.DateField()
    created_at = models.DateTimeField(auto_now_add=True)
    filemaker_batch_id = models.UUIDField(null=True, blank=True)
    import_source = models.CharField(max_length=50, default="user_upload")


class Image(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    batch = models.ForeignKey(ImageBatch, on_delete=models.CASCADE, related_name="images")
    s3_key = models.CharField(max_length=500)
    original_filename = models.CharField(max_length=255)
    file_size = models.BigIntegerField()
    uploaded_at = models.DateTimeField(auto_now_add=True)
    category = models.CharField(max_length=100)
    filemaker_id = models.UUIDField(null=True, blank=True, unique=True)
    filemaker_type = models.CharField(max_length=100, null=True, blank=True)
    filemaker_date = models.DateField(null=True, blank=True)
