-- What owners of apps want of the router beyond routes, and what was seen of apps over time.

CREATE TABLE redirects (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- A host name, or a path.
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    code INTEGER NOT NULL,
    PRIMARY KEY (app_id, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE http_auth_users (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- The password's hash, sealed.
    hash BLOB NOT NULL,
    PRIMARY KEY (app_id, name)
) STRICT, WITHOUT ROWID;

-- Addresses that need no password.
CREATE TABLE http_auth_addresses (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    address TEXT NOT NULL,
    PRIMARY KEY (app_id, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE pages (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- 'maintenance', or the status it is shown for.
    name TEXT NOT NULL,
    html BLOB NOT NULL,
    PRIMARY KEY (app_id, name)
) STRICT;

-- An app without requests has no row for that time.
CREATE TABLE traffic (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- Seconds that a row stands for, and the Unix time at which they begin.
    step INTEGER NOT NULL,
    at INTEGER NOT NULL,
    class1 INTEGER NOT NULL,
    class2 INTEGER NOT NULL,
    class3 INTEGER NOT NULL,
    class4 INTEGER NOT NULL,
    class5 INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    p50_ms REAL NOT NULL,
    p95_ms REAL NOT NULL,
    in_flight INTEGER NOT NULL,
    PRIMARY KEY (app_id, step, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX traffic_age ON traffic (step, at);

CREATE TABLE usage (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- `web.1`
    dyno TEXT NOT NULL,
    step INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- Of one core: 1000 is a whole one.
    cpu_millis INTEGER NOT NULL,
    memory INTEGER NOT NULL,
    memory_limit INTEGER,
    restarts INTEGER NOT NULL,
    PRIMARY KEY (app_id, dyno, step, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_age ON usage (step, at);
