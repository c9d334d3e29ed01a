-- Who is signed in to the dashboard, tokens of programs, and when each stage of a build began.

-- Whoever it stands for: the holder of a key, whose going takes it along, or somebody on the host (`key IS NULL`).
CREATE TABLE web_links (
    hash BLOB NOT NULL PRIMARY KEY,
    key TEXT REFERENCES ssh_keys (name) ON DELETE CASCADE,
    user TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX web_links_key ON web_links (key);

CREATE TABLE web_sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    -- The one before the last rotation, good for requests that were under way.
    previous_hash BLOB,
    rotated_at INTEGER NOT NULL,
    -- What forms must carry.
    csrf TEXT NOT NULL,
    key TEXT REFERENCES ssh_keys (name) ON DELETE CASCADE,
    user TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    source_ip TEXT,
    agent TEXT NOT NULL
) STRICT;
CREATE INDEX web_sessions_previous ON web_sessions (previous_hash);
CREATE INDEX web_sessions_key ON web_sessions (key);

CREATE TABLE api_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL UNIQUE,
    key TEXT REFERENCES ssh_keys (name) ON DELETE CASCADE,
    user TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    used_at INTEGER
) STRICT;
CREATE INDEX api_tokens_key ON api_tokens (key);

-- The most that a token may do: everywhere (`app_id IS NULL`) or with one app.
CREATE TABLE api_token_rights (
    token_id INTEGER NOT NULL REFERENCES api_tokens (id) ON DELETE CASCADE,
    app_id INTEGER REFERENCES apps (id) ON DELETE CASCADE,
    level TEXT NOT NULL CHECK (level IN ('read', 'deploy', 'admin'))
) STRICT;
CREATE INDEX api_token_rights_token ON api_token_rights (token_id);
CREATE INDEX api_token_rights_app ON api_token_rights (app_id);

CREATE TABLE build_stages (
    build TEXT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    PRIMARY KEY (build, stage)
) STRICT, WITHOUT ROWID;

CREATE INDEX events_object ON events (object, id);
