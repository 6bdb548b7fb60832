-- name: read_lacking :many LackingRow
-- not null: of_table, of_column, privilege
-- Which of these privileges on tables, or on single columns of them where `columns` names one, this session's role has
-- not.
-- Locks: none.
-- Plan: catalogs only.
SELECT
    w.of_table,
    w.of_column,
    w.privilege
FROM unnest(:tables::text[], :columns::text[], :privileges::text[]) AS w (of_table, of_column, privilege)
WHERE
    NOT CASE
        WHEN w.of_column = '' THEN has_table_privilege(w.of_table, w.privilege)
        ELSE has_column_privilege(w.of_table, w.of_column, w.privilege)
    END
