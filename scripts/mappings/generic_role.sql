-- The role with which image-linkage exports from Nexus and publishes to it, for
-- the mapping generic.yml. The tables' owner runs this once:
--
--     psql "$OWNERS_DATABASE_URL" -v ON_ERROR_STOP=1 -f generic_role.sql
--
-- and then gives the role its password: \password image_linkage

create role image_linkage login;
grant usage on schema public to image_linkage;
-- only these columns of the patients can be read: no name, no birthday
grant select (id, notes, filemaker_metadata) on patients to image_linkage;
grant select on django_content_type to image_linkage;
grant select, insert on images_batch, images_image to image_linkage;
grant update (image_count) on images_batch to image_linkage;
-- only for publish_to_nexus.py --relink; leave this out until you need it
grant update (object_id) on images_batch to image_linkage;
