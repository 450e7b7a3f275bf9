// Package window is what a ledger decides with: which identities are in the
// window, who holds a claim, how far a producer has counted. It is pure: no
// clock, no file, no goroutine, no lock. Time comes in with each call, memory
// through an interface, and callers guard what they share.
//
//	Table        fingerprints, each with the number of its generation
//	Generations  slices of a window, which leave it as a whole
//	Recency      the order of identities, for exact count windows
//	Claims       reservations with a lease and a token
//	Sequences    producers' own numbers
package window
