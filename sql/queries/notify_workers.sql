-- name: notify_workers :one NotifiedRow
-- Wake listening workers. A hint only: everything is found by the scan as well.
SELECT pg_notify(:channel::text, :payload::text) IS NOT NULL AS sent
