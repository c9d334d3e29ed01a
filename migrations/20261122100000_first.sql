-- The first shape of the store. A file in this folder is never edited once released: add a later one instead.
--
-- Rows point at an app by its id, which is never used again (AUTOINCREMENT): renaming an app is one update, and
-- values sealed for one app can never be opened in the name of another. `app_id IS NULL` means "global".
-- A unique index takes NULLs for different, hence the second one wherever a scope can be global.
-- Times are unix seconds unless the column says `_ms`.

-- Opens with the right key file and with no other one.
CREATE TABLE seal (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    canary BLOB NOT NULL
) STRICT;

CREATE TABLE apps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    locked INTEGER NOT NULL DEFAULT 0 CHECK (locked IN (0, 1)),
    stopped INTEGER NOT NULL DEFAULT 0 CHECK (stopped IN (0, 1)),
    deployed INTEGER NOT NULL DEFAULT 0 CHECK (deployed IN (0, 1)),
    vhosts INTEGER NOT NULL DEFAULT 1 CHECK (vhosts IN (0, 1)),
    -- The last release number given out: numbers stay unique although old releases are deleted.
    last_release INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE config (
    app_id INTEGER REFERENCES apps (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX config_key ON config (app_id, key);
CREATE UNIQUE INDEX config_global_key ON config (key) WHERE app_id IS NULL;

CREATE TABLE properties (
    app_id INTEGER REFERENCES apps (id) ON DELETE CASCADE,
    plugin TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX properties_key ON properties (app_id, plugin, key);
CREATE UNIQUE INDEX properties_global_key ON properties (plugin, key) WHERE app_id IS NULL;
CREATE INDEX properties_plugin ON properties (plugin, key);

CREATE TABLE domains (
    app_id INTEGER REFERENCES apps (id) ON DELETE CASCADE,
    domain TEXT NOT NULL,
    position INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX domains_app ON domains (app_id, domain);
CREATE UNIQUE INDEX domains_global ON domains (domain) WHERE app_id IS NULL;
CREATE INDEX domains_domain ON domains (domain);

CREATE TABLE ports (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    mapping TEXT NOT NULL,
    PRIMARY KEY (app_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE formation (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (app_id, process)
) STRICT, WITHOUT ROWID;

CREATE TABLE buildpacks (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    buildpack TEXT NOT NULL,
    PRIMARY KEY (app_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE ssh_keys (
    name TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    public_key TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE builds (
    -- Orders builds that began in the same millisecond.
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    exit_code INTEGER,
    author TEXT NOT NULL,
    stage TEXT,
    error TEXT,
    commit_id TEXT,
    "release" INTEGER
) STRICT;
CREATE INDEX builds_app ON builds (app_id, seq);
CREATE INDEX builds_running ON builds (seq) WHERE status = 'running';

CREATE TABLE releases (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    number INTEGER NOT NULL CHECK (number > 0),
    state TEXT NOT NULL CHECK (state IN ('pending', 'live', 'retired', 'failed')),
    image TEXT NOT NULL,
    builder TEXT NOT NULL,
    commit_id TEXT,
    -- A JSON list of pairs, sealed as one.
    config BLOB NOT NULL,
    procfile TEXT NOT NULL,
    formation TEXT NOT NULL,
    detected_ports TEXT NOT NULL,
    app_json TEXT,
    build TEXT NOT NULL,
    author TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (app_id, number)
) STRICT;
CREATE UNIQUE INDEX releases_live ON releases (app_id) WHERE state = 'live';
CREATE INDEX releases_pending ON releases (app_id) WHERE state = 'pending';

CREATE TABLE instances (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    "release" INTEGER NOT NULL,
    build TEXT NOT NULL,
    process TEXT NOT NULL,
    idx INTEGER NOT NULL CHECK (idx > 0),
    state TEXT NOT NULL CHECK (state IN ('candidate', 'live', 'retiring')),
    container TEXT,
    name TEXT,
    port INTEGER,
    created_at INTEGER NOT NULL,
    FOREIGN KEY (app_id, "release") REFERENCES releases (app_id, number)
) STRICT;
-- One place of the formation is served by one container; the one that leaves it is retiring first.
CREATE UNIQUE INDEX instances_live ON instances (app_id, process, idx) WHERE state = 'live';
CREATE INDEX instances_app ON instances (app_id, "release");

-- Each row's hash covers the row and the hash before it. Rows outlive the apps they speak of.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    source_ip TEXT,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
