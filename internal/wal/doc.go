// Package wal is a log over several segment files (package segment): what the
// ledger's journal and the broker's log have in common.
//
//	Tail    the end of the log: one sync for all who wait
//	Roller  files are made ahead, ended and removed beside the callers
//	Log     a log whose owner reads frames by their positions; the broker's
//
// Two things stay in order, and opening relies on both:
//
//   - Nothing is written to a file before all of the file before it is durable. So
//     a frame in a file proves that the one before was whole.
//   - A file is made, and an old one deleted, only when what the newest begins with
//     is durable.
package wal
