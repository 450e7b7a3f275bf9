// Package outbox is the producer's door for services with a database: records that are
// put in the transaction that holds their cause, and published after its commit. They
// are published if it commits, and not if it does not.
//
// sqldb.Outbox and pgxdb.Outbox put them:
//
//	err := out.Put(ctx, tx, outbox.Record{Topic: "payments", OrderKey: account, Payload: confirmed})
//
// # Ids
//
// A record has one id for good, over all attempts to publish it, so that whoever takes it
// in can leave out copies. A record without one is given a new one ([NewID]). One that has
// an id of its own, such as a number of a trade, or the [identity.ChildID] of what a
// handler handled, is put once, however often: until it has been published and forgotten
// after that ("retention"). With another payload it is a [ConflictError].
//
// # Order
//
// Records of one order key are published in the order in which their transactions commit,
// if those take turns: Put comes behind the lock of a row that they share, such as the
// account's. Between order keys there is none.
package outbox
