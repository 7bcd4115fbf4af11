# ruff: noqa: RUF012 (as makemigrations wrote it)
import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("patients", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="ImageBatch",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("batch_name", models.CharField(max_length=200)),
                ("captured_date", models.DateField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("filemaker_batch_id", models.UUIDField(blank=True, null=True)),
                ("import_source", models.CharField(default="user_upload", max_length=50)),
                (
                    "patient",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="image_batches", to="patients.patient"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Image",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("s3_key", models.CharField(max_length=500)),
                ("original_filename", models.CharField(max_length=255)),
                ("file_size", models.BigIntegerField()),
                ("uploaded_at", models.DateTimeField(auto_now_add=True)),
                ("category", models.CharField(max_length=100)),
                ("filemaker_id", models.UUIDField(blank=True, null=True, unique=True)),
                ("filemaker_type", models.CharField(blank=True, max_length=100, null=True)),
                ("filemaker_date", models.DateField(blank=True, null=True)),
                (
                    "batch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="images", to="images.imagebatch"
                    ),
                ),
            ],
        ),
    ]
