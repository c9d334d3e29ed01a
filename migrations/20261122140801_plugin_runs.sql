-- How long scripts of plugins took and how they ended; the newest of each plugin are kept.
CREATE TABLE plugin_runs (
    id INTEGER PRIMARY KEY,
    plugin TEXT NOT NULL,
    script TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    millis INTEGER NOT NULL,
    exit_code INTEGER NOT NULL,
    -- How it ended, in words, when it failed.
    failure TEXT NOT NULL
) STRICT;

CREATE INDEX plugin_runs_by_plugin ON plugin_runs (plugin, id);
