// Package natsrelay publishes what an outbox holds into the streams of NATS JetStream, each
// record once inside the stream's window of duplicates: see package relay.
//
//	to, err := natsrelay.New("nats://localhost:4222", natsrelay.Options{})
//	r, err := relay.New(out.Records(), to, relay.Options{})
//
// # A record
//
// Its topic is the subject, which a stream must take. Its id is the header Nats-Msg-Id, its
// headers are headers, and its order key is one too if [Options.KeyHeader] names it. A header
// that NATS can't carry as it is (a line break, white space at either end, a name that is
// empty or has a colon) is a reason to refuse the record, and so are the headers of NATS's own
// that a stream does not agree with. Topics that begin with $JS. or $SYS. are refused: they are
// the server's own.
//
// # How often
//
// A record is marked as published when the stream's leader has acknowledged it, and sent again,
// with the same id, while that is not known. The stream drops copies by their ids for as long
// as its Duplicates says (2 min by default). A copy that comes later, from a relay that was
// down for longer, is in the stream twice, with the same id: take messages to an inbox that
// names them by it ("header:Nats-Msg-Id"), and each takes effect once.
//
// What voids it: what voids the server's own promise, such as a stream in memory, or the loss
// of power for one whose sync_interval is not always.
//
// # Order
//
// A record is sent when the one before it of its order key is acknowledged. So the first
// copies of an order key are in its order, whatever is cut or killed, and copies of copies stand
// behind them. One order key has one record on its way: as many a second as there are
// round trips. Different keys share [Options.InFlight].
//
// # Records that are refused for good
//
// No stream takes the subject, the user may not publish there, the record is larger than the
// server or the stream takes, or the stream refuses it by an error of the request's own (code
// 400), such as one that is sealed. A stream that is full, or has no leader, is tried again.
package natsrelay
