-- Who we are to other git servers. The password is sealed for its host.

CREATE TABLE git_credentials (
    host TEXT NOT NULL PRIMARY KEY,
    username TEXT NOT NULL,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
