-- What people chose for a service beyond its image, and the backups that were made of services.

-- A JSON object, sealed; empty for a service that nobody has set anything for.
ALTER TABLE services ADD COLUMN settings BLOB NOT NULL DEFAULT x'';
-- How much its data took on disk when that was last looked at, in bytes and unix seconds.
ALTER TABLE services ADD COLUMN data_bytes INTEGER;
ALTER TABLE services ADD COLUMN measured_at INTEGER;
-- Due times of backups and of verifications up to here have been looked after.
ALTER TABLE services ADD COLUMN backup_cursor INTEGER;
ALTER TABLE services ADD COLUMN verify_cursor INTEGER;

-- By name, because they outlive the service they were made of.
CREATE TABLE service_backups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    addon TEXT NOT NULL,
    service TEXT NOT NULL,
    -- A folder of the host, or a bucket with an optional prefix.
    destination TEXT NOT NULL,
    -- Its file's name there.
    file TEXT NOT NULL,
    image TEXT NOT NULL,
    encryption TEXT NOT NULL CHECK (encryption IN ('none', 'passphrase', 'recipient')),
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    size_bytes INTEGER,
    -- What was counted in the service just before (tables, keys, queues); NULL when nothing is counted.
    counted INTEGER,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    message TEXT,
    -- The last time it was restored on trial: when, whether it could be, and what came of it.
    verified_at INTEGER,
    verified_good INTEGER,
    verified_message TEXT
) STRICT;
CREATE INDEX service_backups_service ON service_backups (addon, service, id);
