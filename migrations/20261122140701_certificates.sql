-- Certificates of apps, and what is known about getting them from an ACME authority.

CREATE TABLE certificates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    source TEXT NOT NULL CHECK (source IN ('imported', 'generated', 'acme')),
    -- PEM, the app's own first.
    chain TEXT NOT NULL,
    -- PEM, sealed; empty for the moment between the insert and the sealing, which needs the id.
    key BLOB NOT NULL,
    is_current INTEGER NOT NULL CHECK (is_current IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX certificates_app ON certificates (app_id, id);
CREATE UNIQUE INDEX certificates_current ON certificates (app_id) WHERE is_current = 1;

CREATE TABLE acme_accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    directory TEXT NOT NULL,
    email TEXT NOT NULL,
    credentials BLOB NOT NULL,
    UNIQUE (directory, email)
) STRICT;

-- What is wanted for an app, and how it went lately.
CREATE TABLE acme_apps (
    app_id INTEGER PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    is_enabled INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    -- Failures in a row.
    failures INTEGER NOT NULL DEFAULT 0,
    -- Nothing is tried before.
    retry_at INTEGER NOT NULL DEFAULT 0,
    -- The authority's words.
    error TEXT,
    -- When the certificate is to be renewed.
    renew_at INTEGER
) STRICT;

-- Authorities count orders; so do we, also those of apps that are gone.
CREATE TABLE acme_orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    directory TEXT NOT NULL,
    -- Sorted, separated by spaces.
    hosts TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('pending', 'issued', 'failed')),
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX acme_orders_at ON acme_orders (directory, at);
