"""The settings (dbt vars) that the demo, the tests and the benchmarks build with, regardless of dbt_project.yml.

They are the documented defaults (docs/specification.md, Settings), except `today`, which is pinned so that results
do not depend on the day: all invented dates are before it or in the year 2999. Give them to dbt with
`--vars` and `json.dumps(DEFAULT_VARS)`.
"""

DUMP = "filemaker-import/images-bulk-dump/"
DEFAULT_VARS: dict[str, str | bool | list[str]] = {
    "filemaker_date_order": "mdy",
    "source_prefix": DUMP,
    "destination_bucket": "",
    "destination_key_template": "patients/{patient_id}/images/{batch_id}/{recid}.{extension}",
    "batch_name_suffix": " (FileMaker Import)",
    "import_source": "filemaker_import",
    "image_extensions": ["jpg", "jpeg", "png", "gif", "webp", "tif", "tiff", "bmp", "heic", "heif"],
    "record_numbers_confirmed": False,
    "today": "2026-01-01",
    "unlinked_policy": "report",
    "duckdb_memory_limit": "1GB",
}
