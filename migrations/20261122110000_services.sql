-- Services of addons (a Redis, a Postgres, …) and the apps that are linked to them.

CREATE TABLE services (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    addon TEXT NOT NULL,
    name TEXT NOT NULL,
    image TEXT NOT NULL,
    -- The data. Its name is never used for another service, so nobody finds what somebody else left.
    volume TEXT NOT NULL UNIQUE,
    -- A JSON object of passwords, sealed as one.
    secrets BLOB NOT NULL,
    -- What is wanted of it; one that is 'destroying' is gone as soon as its container and data are.
    state TEXT NOT NULL CHECK (state IN ('running', 'stopped', 'destroying')),
    created_at INTEGER NOT NULL,
    UNIQUE (addon, name)
) STRICT;

-- A service that is linked cannot go: no cascade from that side.
CREATE TABLE service_links (
    service_id INTEGER NOT NULL REFERENCES services (id),
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    PRIMARY KEY (service_id, app_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX service_links_app ON service_links (app_id);
