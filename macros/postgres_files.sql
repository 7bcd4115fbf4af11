{# What dbt on PostgreSQL does with files: read the seeds. dbt runs no Python
   here, and the server may not see the file. psycopg2, by which dbt talks to
   the server, can: it makes a large object of a file on this side, whose bytes
   can then be read. The object is gone before the transaction ends. #}

{# A seed of any size, every column text, by COPY. Its rows are checked first,
   because what COPY says about a malformed row includes its values. A table
   that exists is filled and not replaced, because views depend on it. A seed
   with `meta: {record_number: true}` also has the number of each record in its
   file, from 1. #}
{% materialization seed, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set old_relation = load_cached_relation(this) -%}
    {%- set columns = model.columns.keys() | list -%}
    {%- set meta = config.get('meta', {}) -%}
    {%- set counted = meta.get('record_number', false) -%}
    {%- set table_columns = columns + (['record_number'] if counted else []) -%}
    {%- set path = seed_file(model) -%}
    {%- set name = path.split('/') | last -%}
    {{ run_hooks(pre_hooks) }}

    {%- set cursor = adapter.add_query('select 1')[1] -%}
    {%- set file = try_or_compiler_error(
        name ~ ' cannot be opened: check that the data folder has it and you'
        ~ ' may read it',
        cursor.connection.lobject, 0, 'rb', 0, path
    ) -%}
    {%- set contents = file.read() -%}
    {%- do file.unlink() -%}
    {%- set header, chunks = read_csv(
        name, contents, columns, meta.get('appended', false)
    ) -%}

    {%- if old_relation is not none -%}
        {%- set present = adapter.get_columns_in_relation(old_relation) -%}
        {%- if present | map(attribute='name') | list != table_columns -%}
            {% do adapter.drop_relation(old_relation) %}
            {%- set old_relation = none -%}
        {%- endif -%}
    {%- endif -%}
    {% call statement('prepare_seed') %}
        create temporary table incoming (
            record_number bigint generated always as identity,
            {%- for column in header %}
            field_{{ loop.index0 }} text{{ "," if not loop.last }}
            {%- endfor %}
        ) on commit drop;
        {% if old_relation is none -%}
        create table {{ target_relation }} (
            {%- for column in columns %}
            "{{ column }}" text{{ "," if not loop.last }}
            {%- endfor %}
            {{- ", record_number bigint" if counted }}
        );
        {%- else -%}
        truncate {{ target_relation }};
        {%- endif %}
    {% endcall %}
    {%- set copy -%}
        {%- set fields -%}
            {%- for column in header -%}
            field_{{ loop.index0 }}{{ ", " if not loop.last }}
            {%- endfor -%}
        {%- endset -%}
        copy incoming ({{ fields }}) from stdin
        with (format csv, encoding 'UTF8', force_null ({{ fields }}))
    {%- endset -%}
    {# pop(0) hands out chunk by chunk; an empty one ends it #}
    {%- do try_or_compiler_error(
        name ~ ' cannot be copied into PostgreSQL: see the server\'s log',
        cursor.copy_expert, copy, namespace(read=chunks.pop), 0
    ) -%}
    {% call statement('load_seed') %}
        insert into {{ target_relation }}
        select
            {%- for column in columns %}
            field_{{ header.index(column) }}{{ "," if not loop.last }}
            {%- endfor %}
            {{- ", record_number" if counted }}
        from incoming;
        drop table incoming;
        analyze {{ target_relation }};
    {% endcall %}

    {% do store_result('main', response='CREATE') %}
    {% do store_result('agate_table', response='CREATE') %}
    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks) }}
    {% do adapter.commit() %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{# A CSV file's header, and its records in chunks for COPY, the last one empty;
   blank lines are left out. A malformed file ends the build with one sentence
   and none of its values, as linkage.seeds.load_seed does on DuckDB. Patterns
   work on bytes, decoded as Latin-1. #}
{% macro read_csv(name, contents, columns, appended=false) %}
    {%- set again = '; ' ~ (
        save_again() if name == 'held_images.csv'
        else 'make it again with its script'
    ) -%}
    {%- set text = contents.decode('latin-1').removeprefix('\xef\xbb\xbf') -%}
    {%- if appended -%}
        {%- set text = whole_records(name, text, columns | length) -%}
    {%- endif -%}
    {%- set readable = modules.re.match(
        '(?:[\x01-\x7f]++|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]'
        '|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]'
        '|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}'
        '|\xf4[\x80-\x8f][\x80-\xbf]{2})*+', text
    ).end() -%}
    {%- if readable < text | length -%}
        {{ malformed_csv(
            name, text[:readable], 'line {} has a NUL byte'
            if text[readable] == '\0' else 'line {} is not UTF-8'
        ) }}
    {%- endif -%}

    {%- set field = '(?>"[^"]*+(?:""[^"]*+)*+"|[^",\r\n]*+)' -%}
    {%- set line = modules.re.match(
        '(' ~ field ~ '(?:,' ~ field ~ ')*+)(\r?\n|\\Z)', text
    ) -%}
    {%- if not line or not line.group(1) -%}
        {% do exceptions.raise_compiler_error(
            name ~ ' has no header in line 1' ~ again
        ) %}
    {%- endif -%}
    {%- set header = [] -%}
    {%- for column in modules.re.findall(
        '(?:^|,)(' ~ field ~ ')', line.group(1)
    ) -%}
        {%- do header.append(
            column[1:-1].replace('""', '"') if column[:1] == '"' else column
        ) -%}
    {%- endfor -%}
    {%- for column in columns if column not in header -%}
        {% do exceptions.raise_compiler_error(
            name ~ ' has no column ' ~ column ~ ' in line 1' ~ again
        ) %}
    {%- endfor -%}
    {%- set named = header | select | list -%}
    {%- if named | unique(true) | list | length < named | length -%}
        {% do exceptions.raise_compiler_error(
            name ~ ' names a column twice in line 1' ~ again
        ) %}
    {%- endif -%}

    {%- set width = header | length -%}
    {%- set chunks = [] -%}
    {%- for part in modules.re.compile(
        '(?s)((?>' ~ field ~ '(?:,' ~ field ~ '){' ~ (width - 1) ~ '}(?:'
        ~ line.group(2) ~ '|\\Z)){1,500}+)|(' ~ line.group(2) ~ ')|(.+)'
    ).finditer(text, line.end()) -%}
        {%- if part.group(1) -%}
            {%- do chunks.append(part.group(1).encode('latin-1')) -%}
        {%- elif part.group(3) -%}
            {%- set record = modules.re.match(
                field ~ '(?:,' ~ field ~ ')*+', part.group(3)
            ).group() -%}
            {%- set fields = 1 + modules.re.sub('"[^"]*+"', '', record)
                .count(',') -%}
            {%- set after = part.group(3)[record | length:][:1] -%}
            {{ malformed_csv(
                name,
                text[:part.start()],
                'the quotes in line {} do not match'
                if after not in ['', '\r', '\n']
                else 'line {} has ' ~ fields ~ ' fields, not ' ~ width
                if fields < width
                else 'line {} has more than ' ~ width ~ ' fields'
                if fields > width else 'line {} ends differently from line 1'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return((header, chunks + [''])) }}
{% endmacro %}

{# Ends the build with a sentence about the line of a CSV file that comes after
   the text `before`. #}
{% macro malformed_csv(name, before, problem) %}
    {% do exceptions.raise_compiler_error(
        name ~ ' cannot be read: ' ~ problem.format(before.count('\n') + 1)
        ~ '; ' ~ (
            save_again() if name == 'held_images.csv'
            else 'correct that line, or make the file again'
        )
    ) %}
{% endmacro %}

{# What to do about the one seed that no script makes. #}
{% macro save_again() %}
    {{ return(
        'save it as CSV in UTF-8, with commas and the header '
        ~ 'recid,held_by,held_on'
    ) }}
{% endmacro %}

{# The text without a last record that is cut off, which is said. What follows
   is malformed, and not cut off, if one of its further lines is a whole one. #}
{% macro whole_records(name, text, width) %}
    {%- set whole = modules.re.match(
        '(?:[^"\n]*+(?:"[^"]*+"[^"\n]*+)*+\n)*+', text
    ).group() -%}
    {%- if not whole -%}
        {{ return(text) }}
    {%- endif -%}
    {%- set last = text[whole | length:] -%}
    {%- for line in last.split('\n')[1:] if line.count(',') >= width - 1 -%}
        {{ return(text) }}
    {%- endfor -%}
    {%- if last -%}
        {% do print(
            name ~ ': the last line is cut off and is left out; the next copy'
            ~ ' run sets it aside'
        ) %}
    {%- endif -%}
    {{ return(whole) }}
{% endmacro %}
