"""The Django projects that stand in for Nexus behave as Django's own tables do."""

import psycopg
import pytest

from sandbox import nexus

TABLES = {
    "plan": ["patients_patient", "images_imagebatch", "images_image"],
    "generic": ["patients", "images_batch", "images_image"],
    "bigint": ["people_person", "gallery_album", "gallery_photo"],
}
REFERENCES = {
    "plan": {("images_imagebatch", "patients_patient"), ("images_image", "images_imagebatch")},
    "generic": {
        ("images_batch", "django_content_type"),
        ("images_batch", "auth_user"),
        ("images_image", "images_batch"),
        ("images_image", "auth_user"),
    },
    "bigint": {("gallery_album", "people_person"), ("gallery_photo", "gallery_album")},
}
sites = pytest.mark.parametrize("site", TABLES)


def rows(url, query, *values):
    with psycopg.connect(url) as connection:
        return connection.execute(query, values).fetchall()


@sites
def test_the_migrations_match_the_models(nexus_database, site):
    nexus.run(nexus_database(site), site, "-m", "django", "makemigrations", "--check", "--dry-run")


@sites
def test_no_column_but_the_keys_of_one_project_has_a_default_in_the_database(nexus_database, site):
    assert rows(
        nexus_database(site),
        """
        select table_name
        from information_schema.columns
        where
            table_name = any(%s)
            and (column_default is not null or is_identity = 'YES' or is_generated <> 'NEVER')
        order by column_name = 'id', table_name
        """,
        TABLES[site],
    ) == [(table,) for table in sorted(TABLES[site]) if site == "bigint"]


@sites
def test_references_are_real_and_checked_only_at_the_end_of_a_transaction(nexus_database, site):
    found = rows(
        nexus_database(site),
        """
        select conrelid::regclass::text, confrelid::regclass::text, condeferrable, condeferred
        from pg_constraint
        where contype = 'f' and conrelid::regclass::text = any(%s)
        """,
        TABLES[site],
    )
    assert {reference[:2] for reference in found} == REFERENCES[site]
    assert all(deferrable and deferred for *_, deferrable, deferred in found)


def test_no_two_images_of_the_plan_have_the_same_filemaker_id(nexus_database):
    assert rows(
        nexus_database("plan"),
        """
        select pg_get_constraintdef(oid)
        from pg_constraint
        where contype = 'u' and conrelid = 'images_image'::regclass
        """,
    ) == [("UNIQUE (filemaker_id)",)]
