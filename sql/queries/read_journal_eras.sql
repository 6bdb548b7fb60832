-- name: read_journal_eras :one JournalErasRow
-- nullable: newest
-- not null: month
-- The era of a saga that starts now, and the newest one that the journal has a partition for; NULL if it is one table.
-- Locks: none.
-- Plan: the whole of journal_era, which has few rows.
SELECT
    (12 * date_part('year', n.utc) + date_part('month', n.utc) - 24001)::smallint AS month,
    (SELECT max(e.era) FROM saga_fn.journal_era AS e) AS newest
FROM timezone('UTC', now()) AS n (utc)
