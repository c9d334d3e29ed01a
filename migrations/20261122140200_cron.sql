-- Scheduled tasks: up to when each one's due times were looked after, and what became of its runs.

CREATE TABLE cron_cursors (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    task TEXT NOT NULL,
    -- No due time up to here is still to be looked after.
    handled_until INTEGER NOT NULL,
    PRIMARY KEY (app_id, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE cron_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    task TEXT NOT NULL,
    command TEXT NOT NULL,
    -- NULL: a person asked for it.
    due_at INTEGER,
    -- Due times before it that nobody was there for.
    missed INTEGER NOT NULL DEFAULT 0,
    ttl INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('starting', 'running', 'succeeded', 'failed', 'skipped', 'replaced')),
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    exit_code INTEGER,
    -- The container's name.
    container TEXT,
    message TEXT
) STRICT;
CREATE INDEX cron_runs_task ON cron_runs (app_id, task, id);
CREATE INDEX cron_runs_open ON cron_runs (id) WHERE state IN ('starting', 'running');
