"""A shop that fulfils orders with sagas, while one of its two workers is killed half-way.

`python -m saga_fn.demo` starts PostgreSQL, four small HTTP services and two worker processes, puts a few hundred
orders through the saga of `saga_fn.demo.saga`, kills one worker with SIGKILL, and then reads the services' own books
to see whether anything was charged and not shipped, reserved and not released, charged twice, or shipped without the
approval that its saga waited for.

How to read it: `saga` is the definition, `clients` the steps, `worker` a whole worker process, `services` the world
outside with its bad weather, `audit` the judgement, `run` the choreography of all of them.
"""
