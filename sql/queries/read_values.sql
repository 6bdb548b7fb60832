-- name: read_values :one ValuesRow
-- not null: an_id, a_time, a_length, a_number, a_middling, a_small, a_truth, a_word, a_body
-- One value of each type that statements take and give, there and back: what the codecs of a caller's pool make of it.
-- Locks: none.
-- Plan: none: it reads no table.
SELECT
    :an_id::uuid AS an_id, :a_time::timestamptz AS a_time, :a_length::interval AS a_length,
    :a_number::bigint AS a_number, :a_middling::integer AS a_middling, :a_small::smallint AS a_small,
    :a_truth::boolean AS a_truth,
    :a_word::text AS a_word, :a_body::bytea AS a_body
