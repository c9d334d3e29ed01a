-- Labels and annotations of storage entries.
CREATE TABLE storage_marks (
    entry_id INTEGER NOT NULL REFERENCES storage_entries (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('label', 'annotation')),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (entry_id, kind, key)
) STRICT, WITHOUT ROWID;
