-- What each key may do: everywhere (`app_id IS NULL`) or with one app. A key without any row may do nothing.

CREATE TABLE access (
    key TEXT NOT NULL REFERENCES ssh_keys (name) ON DELETE CASCADE,
    app_id INTEGER REFERENCES apps (id) ON DELETE CASCADE,
    level TEXT NOT NULL CHECK (level IN ('read', 'deploy', 'admin'))
) STRICT;
CREATE UNIQUE INDEX access_key ON access (key, app_id);
CREATE UNIQUE INDEX access_global_key ON access (key) WHERE app_id IS NULL;
CREATE INDEX access_app ON access (app_id);

-- Until now every key could do everything.
INSERT INTO access (key, app_id, level) SELECT name, NULL, 'admin' FROM ssh_keys;
