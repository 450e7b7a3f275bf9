// Package uniq lets each line through once.
//
//	inputs ──▶ chunks ──▶ name ┐
//	                      name ┴──▶ judge ──▶ write ──▶ unique, duplicates, conflicts
//	                                  │         │
//	                               ledger ◀── commit
//
// Lines are named and hashed in parallel, chunk by chunk. One goroutine asks the
// ledger about the chunks in their order, and another one writes, so the output
// has the order of the input.
//
// # Once, whenever it is killed
//
// An input with a position in the ledger ([Source]) is written with checkpoints:
// the outputs are synced, then one frame of the ledger says up to which line of
// which input that is, and how long the outputs were ([Note]). Whoever starts
// again cuts the outputs to that length and goes on behind that line. What the
// ledger remembers from beyond it comes back as Redelivered, and is written
// again. So each line is in the outputs once, after a kill or a power loss at any
// moment, as long as that input comes again before others with the same lines: a
// note that is [Note.CutShort] tells whoever starts again to see to it. An output that cannot be cut, such as a pipe, may get again what was
// written since the last checkpoint; nothing is ever left out.
package uniq
