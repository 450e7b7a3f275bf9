// Package ledgertest is the exam that ledgers sit.
//
// [RunLedger] examines any [hapax.Ledger]: the embedded one, a SQL or Redis
// store, one of your own. The [Factory] says what it promises and hands over
// the levers the exam may pull: reopen, crash, move the clock. A promise that
// is not made switches off the checks listed beside it and no others, and those
// are sat all the same: a ledger that passes them promises too little, which is
// an error as well.
//
// [RunAdmit] examines what the embedded ledger adds: batches, positions,
// windows of every kind, budgets, and files that fail or are damaged. It
// compares the ledger with [Model], which keeps everything in maps and is
// obviously right.
//
// Each check is named after the statement it holds. Random checks print their
// seed; -rapid.seed runs it again. HAPAX_TORTURE in the environment asks for
// the long forms: more keys, more crashes, every byte of every file damaged, and
// random work for as long as its value says, such as 10m.
package ledgertest
