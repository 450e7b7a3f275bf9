// Package ledger is the embedded ledger: it remembers identities for a window,
// in memory or in a directory, and answers millions of questions a second
// whether one was seen before.
//
//	batch ──▶ Admit ──▶ table ──▶ verdicts         in memory
//	             └────▶ frame ──▶ log ──▶ sync     in a directory
//
//	claim ──▶ work ──▶ Commit or Release           for effects outside
//
// [Ledger.Admit] is for callers whose effect is the log itself or who confirm it
// by position; [Ledger.Claim] is for effects outside. A ledger with a directory
// survives kill -9 and power loss with everything that it acknowledged, and
// keeps more identities than memory holds: the oldest move to cold files.
//
// Reading the code: [Open] is in ledger.go and recover.go; the way of a batch is
// Admit, admitBatch, admission.admit, admitEntry, admitFrame.appendTo,
// journal.wait in admit.go, order.go, admission.go, frame.go and journal.go; what
// is on disk is drawn in frame.go and meta.go; the table and the windows are
// package window, which is pure.
package ledger
