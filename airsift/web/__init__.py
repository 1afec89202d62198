"""The web page and its JSON API: what all stations play now, and what they played.

::

    run, demo ──> WebSink ─┐
    topics ────> follow ───┼─> Feed ──> Hub ──> Live ──> WebSocket, SSE ──> page
    database ──> follow ───┘          (state)  (4 times a second)
    database ──> Questions ───────────────────> /api/history, /api/timeline

`hub` and `views` are pure: events in, state out. Everything else is Starlette and threads.
"""
