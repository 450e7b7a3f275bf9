// Package hapax is the vocabulary for messages that may arrive twice and must
// take effect once.
//
// A [Message] has an [Identity]. A [Ledger] remembers identities for a [Window].
// Asked about a message, it gives a [Verdict]. Everything else is where the
// verdict is taken and what is atomic with it:
//
//	message ──▶ identity ──▶ fingerprint ──▶ ledger ──▶ verdict
//	                                           │
//	                       claim ──▶ work ──▶ commit    (Do)
//	                                   └─ error ──▶ release
//
// [Do] is that sentence as one function. The package imports the standard
// library only; every other package of the module points down to it.
package hapax
