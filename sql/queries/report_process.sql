-- name: report_process :one
-- Say that a process is there and which definitions it works on: one row a process, written again each half minute.
-- Locks: the process's own row, for which the statement waits `lock_timeout` milliseconds (55P03).
-- Plan: the primary key.
WITH lock_timeout AS MATERIALIZED (
    SELECT set_config('lock_timeout', (:lock_timeout::integer)::text, true) AS milliseconds
),
noted AS (
    INSERT INTO saga_fn.saga_process AS p (shard, id, host, names, versions, plans)
    SELECT
        :shard::smallint, :id::uuid, :host::text, :names::text[], :versions::integer[], :plans::text[]
    FROM lock_timeout
    ON CONFLICT (shard, id) DO UPDATE
        SET
            host = excluded.host, names = excluded.names, versions = excluded.versions, plans = excluded.plans,
            seen_at = now()
)
SELECT now() AS now
