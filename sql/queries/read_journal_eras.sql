-- name: read_journal_eras :one JournalErasRow
-- nullable: newest
-- The server's time, and the newest era that the journal has a partition for; NULL if it is one table.
-- Locks: none.
-- Plan: the whole of journal_era, which has few rows.
SELECT now() AS now, (SELECT max(e.era) FROM saga_fn.journal_era AS e) AS newest
