-- Services, checks and nodes that somebody registered in the catalog: what no container of this host stands for.
CREATE TABLE registrations (
    kind TEXT NOT NULL CHECK (kind IN ('service', 'check', 'node')),
    -- '' is this host.
    node TEXT NOT NULL,
    id TEXT NOT NULL,
    -- JSON; a check may hold passwords in its headers.
    sealed BLOB NOT NULL,
    PRIMARY KEY (kind, node, id)
) STRICT;
