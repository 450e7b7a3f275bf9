package txn

// State is that of a transactional id, in Kafka's numbers. What Kafka has
// between a decision and its markers does not occur.
type State uint8

// The states.
const (
	Empty          State = 0 // held, and nothing done with it yet
	Ongoing        State = 1 // a transaction is open
	CompleteCommit State = 4 // the last transaction was committed
	CompleteAbort  State = 5 // the last transaction was aborted
)

// Kind says what an event is.
type Kind uint8

// The kinds.
const (
	Given     Kind = 1 // a producer id was given to an idempotent producer
	Held      Kind = 2 // the id is held by Producer, and stands as the event says
	Added     Kind = 3 // partitions or groups were added to the transaction
	Ended     Kind = 4 // the transaction ended; Producer holds the id from now on
	Forgotten Kind = 5 // the id is known no more
)

// Cause is who or what ended a transaction.
type Cause uint8

// The causes.
const (
	ByClient   Cause = 0 // EndTxn
	ByInit     Cause = 1 // an InitProducerId found it open
	ByTimeout  Cause = 2
	ByOperator Cause = 3
)

// An Event is one change of state. An event of a Decide call belongs to the
// caller; its slices are not shared with the coordinator.
type Event struct {
	Kind      Kind
	Time      int64 // ms
	ID        string
	Producer  Producer
	Previous  Producer // Held, Ended: who may ask again for what the event answered
	TimeoutMs int32    // Held, Ended: of the id from now on

	State      State    // Held
	Started    int64    // Held: when the last transaction began; −1: none since the id is held
	Partitions []uint32 // Held: of the open transaction; Added: new ones; ascending
	Groups     []string // the same

	End *End // Ended
}

// An End is how a transaction ended: all that its frame in the log has to tell.
type End struct {
	Commit  bool
	Cause   Cause
	Marker  Producer // whom the control batches name
	Markers []Marker // ascending by partition
	Groups  []GroupOffsets
}

// A Marker is the place of a control batch. The offset is for the shell to fill
// in; Decide leaves −1.
type Marker struct {
	Partition uint32
	Offset    int64
}

// GroupOffsets are a group that took part, and the offsets that take effect with
// a commit, in the group coordinator's own form. This package does not look
// inside. The shell leaves them empty if the group coordinator knows them from
// events of its own that are before this one in the log.
type GroupOffsets struct {
	Group   string
	Offsets []byte
}
