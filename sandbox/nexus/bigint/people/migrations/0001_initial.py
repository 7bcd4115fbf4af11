# ruff: noqa: RUF012 (as makemigrations wrote it)
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Person",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("full_name", models.CharField(max_length=200)),
                ("imported_from", models.JSONField(blank=True, default=dict)),
            ],
        ),
    ]
