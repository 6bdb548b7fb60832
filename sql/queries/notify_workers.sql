-- name: notify_workers :many
-- Wake listening workers, once for each payload. Hints only: everything is found by the scan as well.
-- Locks: none.
-- Plan: none: it reads no table.
SELECT pg_notify(:channel::text, h.payload) IS NOT NULL AS sent
FROM unnest(:payloads::text[]) AS h (payload)
