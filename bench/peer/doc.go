// Package peer holds what the ledger is measured against: the physical
// references (a bare table, a bare write and sync) and the stores that people
// deduplicate with today. Each is set up as somebody would who wants it to win,
// and answers the same question: which of these ids are new?
package peer
