-- name: count_jobs :one
-- How many jobs there are.
SELECT count(*)::integer AS jobs FROM saga_fn.job AS j
