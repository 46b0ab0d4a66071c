-- What a client's attach may have this process run. The server asks `admit` about every statement that comes, INSERTs
-- by message included, and runs what it returns; NULL or an error refuses. No text of a client is ever run: `admit` reads
-- from the parsed statement which table and which columns are meant, writes the statement for them itself, and refuses
-- unless the client's, written out by the parser, is that very statement.
--
-- An attach of quack 1.5.5 sends two questions for the catalog, and `SELECT #1, #4 FROM sessions` for every scan: filters,
-- joins, groups and limits stay with the client. NULL::BOOLEAN stands for "any column" in a count.

-- The names that are shown, each as a table, so that clients ask a view too for only the columns that they need.
CREATE TABLE shown (name VARCHAR, definition VARCHAR, column_count BIGINT);
-- The attached copy that is read at the moment.
CREATE TABLE serving (copy VARCHAR);

CREATE MACRO quoted(name) AS '"' || replace(name, '"', '""') || '"';

-- A statement as the parser reads it. Far longer ones than an attach sends are not even parsed.
CREATE MACRO parsed(statement) AS
    json_serialize_sql(CASE WHEN strlen(statement) > 16384 THEN error('too long') ELSE statement::VARCHAR END);

CREATE MACRO written_out(statement) AS json_deserialize_sql(parsed(statement));

CREATE MACRO selected(item, column_count) AS CASE json_extract_string(item, '$.class')
    WHEN 'POSITIONAL_REFERENCE' THEN
        CASE WHEN json_extract_string(item, '$.index')::BIGINT BETWEEN 1 AND column_count
        THEN '#' || json_extract_string(item, '$.index') END
    WHEN 'CAST' THEN
        CASE WHEN json_extract_string(item, '$.cast_type.id') IN ('BOOLEAN', 'BIGINT')
        THEN 'NULL::' || json_extract_string(item, '$.cast_type.id') END
END;

-- The scan that a statement can only mean, as it would be sent and as it is run; NULL where it can mean none. Each
-- column once at most, so that an answer is never wider than its table.
CREATE MACRO scan_of(statement) AS (
    SELECT CASE WHEN len(items) = len(list_distinct(items)) THEN struct_pack(
        sent := 'SELECT ' || list_aggregate(items, 'string_agg', ', ') || ' FROM ' || quoted(name),
        run := 'SELECT ' || list_aggregate(items, 'string_agg', ', ') || ' FROM ' || quoted(copy) || '.main.' || quoted(name)
    ) END
    FROM (
        SELECT name, copy, list_transform(
            json_extract(parsed(statement), '$.statements[0].node.select_list')::JSON[],
            lambda item: selected(item, column_count)
        ) AS items
        FROM shown, serving
        WHERE name = json_extract_string(parsed(statement), '$.statements[0].node.from_table.table_name')
    )
);

CREATE MACRO admit(connection, statement) AS CASE written_out(statement)
    WHEN written_out($$
        SELECT catalog_name, schema_name FROM information_schema.schemata
        WHERE catalog_name NOT IN ('system', 'temp') ORDER BY ALL
    $$) THEN $$SELECT 'postcall', 'main'$$
    WHEN written_out($$
        SELECT schema_name, sql, 'table' FROM duckdb_tables()
        UNION ALL
        SELECT schema_name, view_name, 'view' FROM duckdb_views()
    $$) THEN $$SELECT 'main', definition, 'table' FROM memory.main.shown$$
    WHEN written_out(scan_of(statement).sent) THEN scan_of(statement).run
END;
