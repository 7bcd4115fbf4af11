-- The role with which image-linkage exports from Nexus and publishes to it, for
-- the mapping plan.yml. The tables' owner runs this once:
--
--     psql "$OWNERS_DATABASE_URL" -v ON_ERROR_STOP=1 -f plan_role.sql
--
-- and then gives the role its password: \password image_linkage

create role image_linkage login;
grant usage on schema public to image_linkage;
-- only these two columns of the patients can be read: no name, no birthday
grant select (id, notes) on patients_patient to image_linkage;
grant select, insert on images_imagebatch, images_image to image_linkage;
-- only for publish_to_nexus.py --relink; leave this out until you need it
grant update (patient_id) on images_imagebatch to image_linkage;
