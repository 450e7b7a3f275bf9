//go:build race

package sqldb_test

// raced: with the race detector, SQLite in Go takes a hundred times as long.
const raced = true
