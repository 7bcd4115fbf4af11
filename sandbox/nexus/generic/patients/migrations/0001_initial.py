# ruff: noqa: RUF012 (as makemigrations wrote it)
import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Patient",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("notes", models.TextField(blank=True)),
                ("filemaker_metadata", models.JSONField(blank=True, null=True)),
            ],
            options={
                "db_table": "patients",
            },
        ),
    ]
