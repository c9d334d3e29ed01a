-- The key-value store behind the Consul API: keys, the sessions that may lock them, and how far its index has come.

CREATE TABLE kv_entries (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    -- 64 bits of the client's own, as SQLite's signed ones.
    flags INTEGER NOT NULL,
    lock_index INTEGER NOT NULL,
    -- Who holds the lock.
    session TEXT,
    create_index INTEGER NOT NULL,
    modify_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE kv_sessions (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    node TEXT NOT NULL,
    -- Milliseconds; 0: it does not expire.
    ttl INTEGER NOT NULL,
    lock_delay INTEGER NOT NULL,
    deletes INTEGER NOT NULL CHECK (deletes IN (0, 1)),
    -- JSON lists of check ids.
    node_checks TEXT NOT NULL,
    service_checks TEXT NOT NULL,
    create_index INTEGER NOT NULL,
    modify_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row. An index never goes back, whatever was deleted.
CREATE TABLE kv_index (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
) STRICT;
INSERT INTO kv_index (id, value) VALUES (1, 1);
