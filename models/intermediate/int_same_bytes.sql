-- One row per record and person of which another record has an object with the
-- same bytes: the other records of the same person, and of other people, as a
-- number and the smallest of them. Equal MD5s and sizes are equal bytes. A
-- person is Nexus's patient of a row, or else FileMaker's.

with objects as {{ not_materialized() }} (

    select recid, size, lower(etag) as etag
    from {{ ref('stg_s3_objects') }}
    where recid is not null and size > 0

),

outcomes as {{ not_materialized() }} (

    select
        image_id,
        recid_number as recid,
        patient_id,
        batch_id,
        coalesce(patient_id, present_patient_id) as nexus_patient_id,
        coalesce(patient_id, present_patient_id, filemaker_patient_id)
            as person
    from {{ ref('image_outcome') }}

),

-- nearly all objects are the only one with their bytes
repeated_bytes as (

    select etag, size
    from objects
    group by etag, size
    having min(recid) < max(recid)

),

repeated_objects as (

    select distinct
        objects.recid,
        objects.etag || ' ' || {{ as_text('objects.size') }} as bytes
    from objects
    inner join repeated_bytes
        on
            repeated_bytes.etag = objects.etag
            and repeated_bytes.size = objects.size
    where {{ matches('objects.etag', '^[0-9a-f]{32}$') }}

),

members as {{ materialized() }} (

    select
        repeated_objects.bytes,
        outcomes.recid,
        outcomes.person,
        min({{ by_code_point('outcomes.image_id') }}) as image_id,
        min({{ by_code_point('outcomes.patient_id') }}) as patient_id,
        min({{ by_code_point('outcomes.batch_id') }}) as batch_id,
        min({{ by_code_point('outcomes.nexus_patient_id') }})
            as nexus_patient_id
    from repeated_objects
    inner join outcomes on outcomes.recid = repeated_objects.recid
    where outcomes.person is not null
    group by
        repeated_objects.bytes, outcomes.recid, outcomes.person

),

-- Thousands of records may have the same bytes, such as a placeholder for a
-- missing picture: they are counted and ranked, and not compared with each
-- other.
ranked as (

    select
        *,
        count(*) over (partition by recid) = 1 as is_plain,
        count(*) over (partition by bytes, recid) as person_count,
        dense_rank() over (partition by bytes order by recid) as record_rank,
        first_value(person) over (
            partition by bytes
            order by recid, {{ by_code_point('person') }}
        ) as first_person,
        lead(recid) over (partition by bytes, person order by recid)
            as next_own_recid
    from members

),

counted as (

    select
        *,
        count(*) over (partition by bytes, person) - 1 as own_record_count,
        min(recid) over (partition by bytes, person) as first_own_recid,
        max(record_rank) over (partition by bytes)
        - count(case when person_count = 1 then 1 end) over (
            partition by bytes, person
        ) as other_record_count,
        min(recid) over (partition by bytes) as first_recid,
        min(case when person <> first_person then recid end) over (
            partition by bytes
        ) as first_recid_of_others
    from ranked

),

-- the few records with several people, or with several objects of which other
-- records have the bytes, are compared with each other
compared as (

    select distinct
        members.recid,
        members.person,
        others.recid as other_recid,
        others.person = members.person as is_own
    from counted as members
    inner join members as others
        on others.bytes = members.bytes and others.recid <> members.recid
    where not members.is_plain

),

found as (

    select
        recid,
        person,
        own_record_count,
        case
            when first_own_recid < recid then first_own_recid
            else next_own_recid
        end as own_recid,
        other_record_count,
        case
            when person = first_person then first_recid_of_others
            else first_recid
        end as other_recid
    from counted
    where is_plain

    union all

    select
        recid,
        person,
        count(distinct case when is_own then other_recid end)
            as own_record_count,
        min(case when is_own then other_recid end) as own_recid,
        count(distinct case when not is_own then other_recid end)
            as other_record_count,
        min(case when not is_own then other_recid end) as other_recid
    from compared
    group by recid, person

),

other_patients as (

    select
        found.recid,
        found.person,
        min({{ by_code_point('members.nexus_patient_id') }}) as patient_id
    from found
    inner join members
        on
            members.recid = found.other_recid
            and members.person <> found.person
    group by found.recid, found.person

),

-- a record's ids are the same beside each of its objects
final as (

    select distinct
        found.recid,
        found.person,
        members.image_id,
        members.patient_id,
        members.batch_id,
        found.own_record_count,
        found.own_recid,
        found.other_record_count,
        found.other_recid,
        other_patients.patient_id as other_patient_id
    from found
    inner join members
        on members.recid = found.recid and members.person = found.person
    left join other_patients
        on
            other_patients.recid = found.recid
            and other_patients.person = found.person
    where found.own_record_count + found.other_record_count > 0

)

select * from final
