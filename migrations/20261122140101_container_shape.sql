-- What shapes an app's containers: docker's flags, storage, and who we are at registries.

-- An empty process type stands for every type; options of a type come on top.
CREATE TABLE docker_options (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    phase TEXT NOT NULL CHECK (phase IN ('build', 'deploy', 'run')),
    process TEXT NOT NULL DEFAULT '',
    option TEXT NOT NULL,
    PRIMARY KEY (app_id, phase, process, option)
) STRICT, WITHOUT ROWID;

CREATE TABLE storage_entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    -- An absolute path of the host, or the name of an engine's volume.
    source TEXT NOT NULL,
    -- Who owns the folder: a user id, when it was given.
    owner INTEGER,
    -- Its mode bits, when they were given.
    mode INTEGER,
    -- Made by a mount of a bare path; goes with the last such mount.
    unnamed INTEGER NOT NULL DEFAULT 0 CHECK (unnamed IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

-- An entry that is mounted cannot go: no cascade from that side.
CREATE TABLE storage_mounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    entry_id INTEGER NOT NULL REFERENCES storage_entries (id),
    target TEXT NOT NULL,
    -- 'deploy', 'run' or 'deploy,run'
    phases TEXT NOT NULL,
    -- Empty for every process type.
    process TEXT NOT NULL DEFAULT '',
    subpath TEXT NOT NULL DEFAULT '',
    read_only INTEGER NOT NULL DEFAULT 0 CHECK (read_only IN (0, 1)),
    options TEXT NOT NULL DEFAULT '',
    owner INTEGER,
    UNIQUE (app_id, target, process, phases)
) STRICT;
CREATE INDEX storage_mounts_entry ON storage_mounts (entry_id);

CREATE TABLE registry_logins (
    app_id INTEGER REFERENCES apps (id) ON DELETE CASCADE,
    server TEXT NOT NULL,
    username TEXT NOT NULL,
    password BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX registry_logins_app ON registry_logins (app_id, server);
CREATE UNIQUE INDEX registry_logins_global ON registry_logins (server) WHERE app_id IS NULL;
