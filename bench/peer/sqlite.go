package peer

import (
	"database/sql"
	"fmt"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"github.com/hapaxmq/hapax/bench/stream"
)

// SQLite inserts fingerprints into a table of its own, one transaction each,
// with a write-ahead log and synchronous=FULL: every insert is synced once. One
// connection with an exclusive lock serves all callers, which is faster than
// one each. One is safe for concurrent use.
type SQLite struct {
	db     *sql.DB
	insert *sql.Stmt
}

// OpenSQLite makes a database in the file path.
func OpenSQLite(path string) (*SQLite, error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL&_synchronous=FULL&_locking_mode=EXCLUSIVE&_cache_size=-65536")
	if err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	db.SetMaxOpenConns(1)
	s := &SQLite{db: db}
	if _, err := db.Exec("CREATE TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID; PRAGMA wal_autocheckpoint = 10000"); err != nil {
		return nil, fmt.Errorf("create table: %w", err)
	}
	if s.insert, err = db.Prepare("INSERT INTO seen VALUES (?) ON CONFLICT DO NOTHING"); err != nil {
		return nil, fmt.Errorf("prepare insert: %w", err)
	}
	return s, nil
}

// TakeOne takes one id in and returns, once it is synced, whether it was new.
func (s *SQLite) TakeOne(id *stream.ID) (fresh bool, err error) {
	key := fingerprint(id)
	result, err := s.insert.Exec(key[:])
	if err != nil {
		return false, fmt.Errorf("sqlite: insert: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// Close closes the database.
func (s *SQLite) Close() error { return s.db.Close() }
